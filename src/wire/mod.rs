//! Bytes on the wire and kernel values, each made of the other.
