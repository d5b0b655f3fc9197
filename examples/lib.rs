//! Nothing: this package has examples, one file each.
