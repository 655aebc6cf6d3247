"""Review: what is wrong with recordings or a dataset, told before a GPU trains on them.

`review` writes a folder:

    review.json              the result: see below
    plan.toml                what can be done, for a person to edit: see `piperline.edits.plan`
    index.html               the page, opened from the disk; page/ and data.js belong to it
    episodes/<key>.js        curves of one episode, for the page: see `write_page.curves_script`
    videos/<key>/<n>.mp4     a small video of camera n of one episode
    thumbnails/<key>.jpg     five pictures of each camera of one episode: a row of 40 x 30 pixels
    for each camera signals/<key>.npz        what was measured, reused by the next review

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

Texts are as recorded.
"""

from piperline.review.run import Review, review

__all__ = ["Review", "review"]
