//! Moving events between stores, files and other programs.
