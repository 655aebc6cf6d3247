"""Repository ids, and datasets to and from the Hugging Face Hub."""
