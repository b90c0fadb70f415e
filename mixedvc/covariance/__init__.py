"""Known covariances among labelled levels; importing the package registers ours."""
