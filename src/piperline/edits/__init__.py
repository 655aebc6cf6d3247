"""Changes to a dataset or to recordings on their way into one: which episodes, frames, features.

An edit works on encoded episodes, so that the same plan does the same to recordings
(`convert --plan`) and to a dataset (`edit --plan`).
"""
