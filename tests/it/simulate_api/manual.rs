//! The page of the manual, as somebody would paste it.

use crate::support::page::paste;

#[tokio::test]
async fn the_page_does_what_it_says() {
    paste(include_str!("../../../docs/simulate-api.md"), 6, [8444, 9443]).await;
}
