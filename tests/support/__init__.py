"""What two test files need."""
