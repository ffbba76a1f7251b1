"""The shipped models, their digits and their frozen outputs; see README.md beside this file."""
