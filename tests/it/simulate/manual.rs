//! The page of the manual, as somebody would paste it.

use graphhook::simulate::forgery::Forgery;
use graphhook::simulate::template::{Template, TemplateError};
use graphhook::simulate::vouching::Flaw;

use crate::support::page::paste;

const PAGE: &str = include_str!("../../../docs/simulate.md");

#[tokio::test]
async fn the_page_does_what_it_says() {
    paste(PAGE, 9, [9443, 8445]).await;
}

#[test]
fn the_page_has_every_template_placeholder_forgery_and_fault() {
    let names = Template::names()
        .chain(Forgery::ALL.map(Forgery::as_str))
        .chain(Flaw::ALL.map(Flaw::as_str))
        .collect::<Vec<_>>();
    for name in names {
        assert!(PAGE.contains(&format!("`{name}`")), "{name} is not in the page");
    }
    let known = TemplateError::Unknown(String::new()).to_string();
    let (_, known) = known.rsplit_once("known are ").expect("a list");
    for name in known.split(", ") {
        assert!(PAGE.contains(&format!("`{{{{{name}}}}}`")), "{name} is not in the page");
    }
}
