"""What is to be done about each code, and which codes a cause brings about."""

from collections.abc import Mapping

REMEDIES: Mapping[str, str] = {
    "action-copy": "record the commands, or train knowing that actions are states",
    "action-delta": "convert actions to positions before training",
    "action-inverted": "turn the sign of the dimension, and record its calibration anew",
    "action-late": "shift the actions, or drop the episodes",
    "action-units": "convert the dimension to the unit of the state",
    "arm-of-camera": "exchange the cameras, or the arms, back",
    "arms-exchanged": "exchange the arms back in state or action",
    "beyond-limits": "convert the values to the layout's unit, or drop the episodes",
    "camera-exchanged": "exchange the cameras back",
    "camera-frozen": "drop the episode, or trim it to the part in which the camera works",
    "camera-slow": "look for what slows the camera; drop the episodes if others are good",
    "camera-still": "look at the frames; drop the episode if the camera stood still",
    "cameras-same": "leave the camera out, or drop the episodes",
    "coarse": "have the recorder write full precision; drop the episodes if others are good",
    "colour-cast": "set the white balance by hand; drop the episodes if others are good",
    "colour-red-blue": "exchange red and blue: the colour swapped-jpeg",
    "dimension-still": "look at the joint's encoder; drop the episodes",
    "dropout": "drop the episode, or trim it before the frames",
    "ends-elsewhere": "look at its end; drop the episode if it was broken off",
    "episode-twice": "drop the episode",
    "first-frame": "trim the first frame",
    "frame-rate": "give the true rate with --fps",
    "home-apart": "look at the calibration of the session; drop it if the zeros have moved",
    "idle-end": "trim the end",
    "idle-start": "trim the start",
    "label-failure": "drop the episode",
    "no-command": "drop the episodes: the commands of the dimension are missing",
    "no-grip": "look at the episode; drop it if the gripper should have closed",
    "no-motion": "drop the episode",
    "not-following": "drop the episodes: the joint or the arm was not connected",
    "other-speed": "look at the recorder's rate; drop the episodes if it was another",
    "picture-black": "drop the episodes, or leave the camera out",
    "picture-blurred": "focus the camera; drop the episodes if others are good",
    "picture-compressed": "raise the JPEG quality; drop the episodes if others are good",
    "picture-covered": "look at the camera; drop the episodes",
    "picture-damaged": "drop the episode: convert refuses it",
    "picture-dark": "look at light and exposure; drop the episodes if others are good",
    "picture-grey": "look at the camera's settings; drop the episodes if others are good",
    "picture-overexposed": "look at light and exposure; drop the episodes if others are good",
    "picture-size": "convert with --resize, or drop the episodes",
    "picture-torn": "look at the camera's transfer; drop the episode if others are good",
    "pictures-drift": "drop the episodes: images were lost",
    "pictures-late": "drop the episodes, or record with pictures and rows in step",
    "pictures-of-another": "drop the episode",
    "pictures-unrelated": "drop the episodes",
    "rows-doubled": "drop the episode, or record it anew",
    "rows-held": "drop the episode, or trim it to the part that moves",
    "rows-ignored": "look whether the attribute length is right",
    "rows-slow": "look for what slows the bus; drop the episodes if others are good",
    "saturated": "look at the joint's calibration; drop the session",
    "sign-apart": "look at the joint's calibration; drop the session or turn the sign",
    "spike": "drop the episode, or record it anew",
    "text-empty": "give the episode an instruction",
    "text-language": "use one language, if others are not meant",
    "text-motion": "look at the episode; correct its instruction",
    "text-placeholder": "give the episodes an instruction",
    "text-typo": "correct the instruction",
    "text-variant": "use one form of the instruction",
    "time-jump": "drop the episode, or trim it before or behind the jump",
    "too-short": "drop the episode",
    "unreadable": "repair the recording, or leave the episode out with --skip-bad",
    "view-moved": "look at the camera's mount; drop the session if others are good",
    "view-turned": "turn the camera back; drop the session",
    "wrap": "drop the episode, or unwrap the joint",
    "zero-apart": "calibrate leader and follower; drop the episodes if others are good",
}

_PICTURES_AGAINST_ROWS = frozenset(
    {
        "arm-of-camera",
        "camera-still",
        "pictures-drift",
        "pictures-late",
        "pictures-unrelated",
    }
)
_MOTION = frozenset(
    {
        "ends-elsewhere",
        "idle-end",
        "idle-start",
        "no-grip",
        "no-motion",
        "other-speed",
        "text-motion",
        "time-jump",
        "spike",
        "home-apart",
        "sign-apart",
        "saturated",
    }
)
_FOLLOWING = frozenset(
    {
        "action-inverted",
        "action-late",
        "action-units",
        "no-command",
        "not-following",
        "zero-apart",
    }
)
_LOOKS = frozenset(
    {
        "camera-exchanged",
        "colour-cast",
        "picture-blurred",
        "picture-compressed",
        "picture-covered",
        "picture-dark",
        "picture-grey",
        "view-moved",
        "view-turned",
    }
)

CAUSES: Mapping[str, frozenset[str]] = {
    "action-copy": _FOLLOWING | {"rows-held"},
    "action-delta": _FOLLOWING
    | {"action-copy", "beyond-limits", "coarse", "no-grip", "rows-held"},
    "action-late": frozenset({"zero-apart", "rows-held"}),
    "action-units": frozenset({"action-late", "coarse", "zero-apart"}),
    "action-inverted": frozenset({"zero-apart", "action-units", "action-late"}),
    "arm-of-camera": frozenset(
        {"camera-still", "pictures-unrelated", "text-motion"}
    ),
    "arms-exchanged": _FOLLOWING | _MOTION | _PICTURES_AGAINST_ROWS,
    "beyond-limits": _MOTION
    | _PICTURES_AGAINST_ROWS
    | _FOLLOWING
    | {"coarse", "rows-held"},
    "camera-exchanged": _PICTURES_AGAINST_ROWS
    | _LOOKS - {"camera-exchanged", "picture-covered", "picture-dark"}
    | {"colour-red-blue"},
    "camera-frozen": _PICTURES_AGAINST_ROWS | {"camera-slow"},
    "camera-slow": frozenset({"pictures-late"}),
    "cameras-same": _PICTURES_AGAINST_ROWS | _LOOKS | {"colour-red-blue"},
    "coarse": frozenset(
        {"saturated", "rows-held", "rows-slow", "dimension-still"}
    ),
    "colour-red-blue": frozenset({"colour-cast"}),
    "dimension-still": _MOTION - {"no-motion"}
    | _PICTURES_AGAINST_ROWS
    | _FOLLOWING
    | {"rows-held"},
    "dropout": _FOLLOWING
    | _PICTURES_AGAINST_ROWS
    | {"rows-held", "spike", "saturated", "time-jump", "ends-elsewhere"},
    "ends-elsewhere": frozenset({"text-motion", "no-grip"}),
    "episode-twice": frozenset(
        {
            "camera-slow",
            "pictures-of-another",
            "first-frame",
            "other-speed",
            "too-short",
        }
    ),
    "home-apart": frozenset({"zero-apart", "text-motion", "sign-apart"}),
    "no-command": _FOLLOWING - {"no-command", "not-following"}
    | {"rows-held", "rows-slow"},
    "no-motion": _MOTION - {"no-motion"}
    | _FOLLOWING
    | _PICTURES_AGAINST_ROWS
    | {"dimension-still"},
    "not-following": frozenset({"other-speed"})
    | _FOLLOWING - {"not-following", "no-command"}
    | _PICTURES_AGAINST_ROWS
    | {"text-motion", "rows-slow"},
    "picture-black": _PICTURES_AGAINST_ROWS
    | _LOOKS
    | {"camera-frozen", "cameras-same", "pictures-of-another"},
    "picture-blurred": frozenset({"pictures-unrelated"}),
    "picture-compressed": frozenset({"picture-grey", "picture-blurred"}),
    "picture-covered": _PICTURES_AGAINST_ROWS
    | {"picture-blurred", "colour-cast", "picture-dark", "camera-exchanged"},
    "picture-damaged": frozenset(
        {"camera-frozen", "camera-slow", "cameras-same"}
    ),
    "picture-dark": _PICTURES_AGAINST_ROWS
    | _LOOKS - {"picture-covered", "picture-dark"},
    "picture-grey": frozenset({"colour-cast"}),
    "picture-overexposed": _LOOKS | _PICTURES_AGAINST_ROWS,
    "picture-size": frozenset({"picture-blurred", "view-moved"}),
    "pictures-of-another": _PICTURES_AGAINST_ROWS
    | {"text-motion", "camera-frozen", "camera-slow"},
    "pictures-unrelated": frozenset(
        {"camera-still", "pictures-late", "picture-torn"}
    ),
    "picture-torn": _PICTURES_AGAINST_ROWS - {"pictures-unrelated"},
    "pictures-drift": _PICTURES_AGAINST_ROWS - {"pictures-drift"},
    "pictures-late": frozenset({"arm-of-camera", "camera-still"}),
    "rows-doubled": frozenset(
        {
            "rows-held",
            "camera-slow",
            "camera-frozen",
            "rows-slow",
            "other-speed",
        }
    ),
    "rows-held": frozenset(
        {
            "not-following",
            "pictures-drift",
            "pictures-late",
            "pictures-unrelated",
            "zero-apart",
        }
    ),
    "rows-ignored": frozenset({"ends-elsewhere"}),
    "rows-slow": _PICTURES_AGAINST_ROWS | {"rows-held", "other-speed"},
    "saturated": frozenset(
        {"home-apart", "action-units", "not-following", "zero-apart"}
    ),
    "text-empty": frozenset({"text-motion"}),
    "text-language": frozenset({"text-motion"}),
    "text-placeholder": frozenset({"text-motion", "text-variant", "text-typo"}),
    "spike": frozenset({"camera-still", "pictures-late"}),
    "time-jump": frozenset(
        {"action-late", "pictures-drift", "pictures-late", "spike"}
    ),
    "too-short": _MOTION | _FOLLOWING | _PICTURES_AGAINST_ROWS,
    "view-moved": frozenset({"picture-blurred"}),
    "view-turned": frozenset({"view-moved"}),
    "wrap": _FOLLOWING
    | {"beyond-limits", "spike", "time-jump", "ends-elsewhere", "text-motion"},
}
"""By code: what it explains in the same episodes, so that one cause is one finding."""
