//! `graphhook man`: a manual page for each command, made of what `--help` says.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::{Args, Command, CommandFactory};
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};

use super::{Failure, Outcome, conclude};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Write a page for each command into this directory, which is made if it is not there [default: the main page to
    /// standard output].
    #[arg(value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

pub(super) const HELP: &str =
    "Examples:\n  graphhook man | man -l -\n  graphhook man /usr/local/share/man/man1";

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    conclude(write(arguments.directory.as_deref()))
}

fn write(directory: Option<&Path>) -> anyhow::Result<Outcome> {
    let pages = pages()?;
    let Some(directory) = directory else {
        let (_, main) = pages.first().context("there is always a main page")?;
        io::stdout().lock().write_all(main)?;
        return Ok(Outcome::Good);
    };
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    for (name, page) in pages {
        let file = directory.join(name);
        fs::write(&file, page).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(Outcome::Good)
}

/// File name and text of each page, the main page first.
fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut program = super::Arguments::command().disable_help_subcommand(true);
    program.build();
    let mut pages = vec![main_page(&program)?];
    pages_below(&program, &mut pages)?;
    Ok(pages)
}

fn pages_below(command: &Command, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let (name, mut page) = begin(sub)?;
        let mut end = Roff::default();
        end.control("SH", ["SEE ALSO"]);
        end.text([roman("graphhook(1)")]);
        end.to_writer(&mut page)?;
        pages.push((name, page));
        pages_below(sub, pages)?;
    }
    Ok(())
}

fn main_page(program: &Command) -> io::Result<(String, Vec<u8>)> {
    let (name, mut page) = begin(program)?;
    let mut end = Roff::default();
    end.control("SH", ["EXIT STATUS"]);
    entries(&mut end, &EXIT_STATUS);
    end.control("SH", ["FILES"]);
    entries(&mut end, &FILES);
    end.control("SH", ["ENVIRONMENT"]);
    entries(&mut end, &ENVIRONMENT);
    end.to_writer(&mut page)?;
    Ok((name, page))
}

/// What all pages have.
fn begin(command: &Command) -> io::Result<(String, Vec<u8>)> {
    let man = Man::new(command.clone());
    let name = command.get_display_name().unwrap_or(command.get_name());
    // No date, so that one version always has the same pages.
    let mut page = format!(".TH \"{name}\" 1 \"\" \"{SOURCE}\" \"Manual of graphhook\"\n").into_bytes();
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        man.render_options_section(&mut page)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(help) = command.get_after_help() {
        let mut roff = Roff::default();
        examples(&mut roff, &help.to_string());
        roff.to_writer(&mut page)?;
    }
    Ok((man.get_filename(), page))
}

/// The end of `--help`: perhaps some words, then examples.
fn examples(roff: &mut Roff, help: &str) {
    for (index, paragraph) in help.split("\n\n").enumerate() {
        if paragraph.starts_with("Example") {
            roff.control("SH", ["EXAMPLES"]).control("nf", []).control("RS", ["4"]);
            for line in paragraph.lines().skip(1) {
                roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
            }
            roff.control("RE", []).control("fi", []);
            continue;
        }
        match index {
            0 => roff.control("SH", ["NOTES"]),
            _ => roff.control("PP", []),
        };
        roff.text([roman(paragraph.replace('\n', " "))]);
    }
}

fn entries(roff: &mut Roff, entries: &[(&str, &str)]) {
    for (name, text) in entries {
        roff.control("TP", []).text([roman(*name)]).text([roman(*text)]);
    }
}

const SOURCE: &str = concat!("graphhook ", env!("CARGO_PKG_VERSION"));

const EXIT_STATUS: [(&str, &str); 4] = [
    ("0", "Done; for a command that judges: all is well."),
    ("1", "Failed while running, or all is not well."),
    ("2", "Wrong usage."),
    ("78", "Configuration or certificate refused; systemd does not restart on it."),
];

const FILES: [(&str, &str); 4] = [
    ("/etc/graphhook/config.toml", "The configuration, unless --config names another; then ./config.toml."),
    ("/var/lib/graphhook/spool", "Messages that the broker has not confirmed yet."),
    ("/var/lib/graphhook/acme", "Certificates that graphhook has obtained itself."),
    (
        "/var/lib/graphhook/subscriptions",
        "What is known of subscriptions, with the clientStates that were made here.",
    ),
];

const ENVIRONMENT: [(&str, &str); 2] = [
    ("GRAPHHOOK_SECTION__KEY", "Sets a key of the configuration, over what the file says."),
    ("NO_COLOR", "If it is set to anything, no colours are used."),
];
