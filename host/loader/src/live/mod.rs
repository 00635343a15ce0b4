//! Models that stay live while their plugins and weights are replaced under them.
