"""What NVIDIA Isaac GR00T needs beside a dataset, and what can be known before training.

    versions        N1.5, N1.6, N1.7: what differs
    loader          the files that training reads, read as GR00T reads them
    modality        meta/modality.json
    modality_config what a config .py chooses: cameras, groups, representation, horizon
    stats           stats.json, relative_stats.json
    settings        training settings, and the options of the training scripts
    config_files    config .py and all other files; launch_scripts: the launch scripts
    preflight       runs the checks in checks/
    launch          checkout, preflight, command

Nothing is imported here: the command line asks for help often and for numpy seldom.
"""
