//! The conformance kit: what a plugin must keep, case by case, in levels from 1 to 10.
