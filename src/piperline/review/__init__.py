"""Review: what is wrong with recordings or a dataset, told before a GPU trains on them.

`review` writes a folder:

    review.json              the result: see below
    plan.toml                what can be done about it, for a person to edit: see `piperline.plan`
    episodes/<key>.json      curves of one episode, for a page
    thumbnails/<key>.jpg     five pictures of each camera of one episode, 40 x 30 pixels each
    signals/<key>.npz        what was measured, reused by the next review

`review.json` holds

    version            1
    inputs, layout     what was reviewed
    robot              {"type", "names": of the dimensions, "fps"}
    cameras            their names, in the order of the rows of the thumbnails
    notes              what was not looked for, and why
    findings           the gravest first, each {"code", "severity", "message", "place", "numbers",
                       "remedy"}; `numbers.scope` is "frames", "episode", "session" or "all",
                       `numbers.episodes` are indices into `episodes`, `first_frame` and
                       `last_frame` the span of a scope of frames
    episodes           each {"index", "session", "file", "name", "instruction", "frames", "key"}

`episodes/<key>.json` holds `state` and `action`, lists of T rows rounded to 4 digits, and `motion`,
by camera a list of T numbers: how much the picture changes. Texts are as recorded: a page must
escape them.
"""

from piperline.review.run import Review, review

__all__ = ["Review", "review"]
