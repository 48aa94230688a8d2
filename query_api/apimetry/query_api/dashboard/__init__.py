"""The dashboard: the built page and its headers. Its sources are in the `dashboard` folder of the repository."""
