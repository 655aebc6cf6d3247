"""What NVIDIA Isaac GR00T needs beside a dataset, and what can be known before training.

    versions    N1.5, N1.6, N1.7: what differs
    folder      the files that training reads, as it reads them
    modality    meta/modality.json               choice    cameras, groups, horizon: ours, or a config .py's
    stats       stats.json, relative_stats.json  training  settings and options of the training scripts
    config      config .py and all files         scripts   the launch scripts
    preflight   runs check_modality, check_rows, check_stats, check_videos and arithmetic on a subject
    launch      checkout, preflight, command

Nothing is imported here: the command line asks for help often and for numpy seldom.
"""
