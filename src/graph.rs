//! Microsoft Graph, as far as subscriptions go.

pub mod subscription;
