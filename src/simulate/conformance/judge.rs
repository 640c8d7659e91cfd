//! What is demanded of answers, and what is wrong with them.

use hyper::{
    StatusCode,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING, X_CONTENT_TYPE_OPTIONS},
};

use super::{
    shot::{Kind, Reply},
    stage::cut,
};
use crate::{
    error::Chain,
    simulate::{
        forgery::Genuine,
        handshake::{TWO_TYPES, body_fault},
        receiver::{Answer, PROMPT},
    },
};

/// A demand. Those that speak of no particular answer are made of each.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Judge {
    /// 200, `text/plain`, the token and nothing else, in time: all that a handshake takes.
    Token,
    /// Both: handshakes come out right, and notifications are delivered.
    TokenOrTwoXx,
    /// 200.
    Is200,
    /// `text/plain`.
    IsPlainText,
    /// Nothing around the token.
    IsBare,
    /// No `Content-Encoding`.
    IsNotCompressed,
    /// No 3xx.
    IsNoRedirect,
    /// A 2xx within 3 s.
    TwoXx,
    /// An answer within 3 s.
    Answers,
    /// An answer, and no 5xx.
    No5xx,
    /// The same answer as the first two, which are genuine, in all that those have in common.
    SameAsGenuine,
    /// The last answer is a 2xx within 3 s.
    LastTwoXx,
    /// Markup comes back as `text/plain` that no browser takes for anything else, or not at all.
    NoMarkup,
    /// No field of the request's making.
    NoInjection,
    /// The end of the answer is not the end of the connection.
    Framed,
    /// The connection is kept for the next request.
    KeepsLine,
}

impl Judge {
    /// What is demanded.
    pub fn words(&self) -> &'static str {
        match self {
            Self::Token => "200, text/plain, the decoded token and nothing else, within 10 s",
            Self::TokenOrTwoXx => "handshakes: the token; notifications: 2xx within 3 s",
            Self::Is200 => "status 200",
            Self::IsPlainText => "Content-Type: text/plain",
            Self::IsBare => "nothing before or behind the token",
            Self::IsNotCompressed => "no Content-Encoding",
            Self::IsNoRedirect => "no redirect",
            Self::TwoXx => "2xx within 3 s",
            Self::Answers => "an answer within 3 s",
            Self::No5xx => "no 5xx",
            Self::SameAsGenuine => "the same answer as to a genuine item",
            Self::LastTwoXx => "a good notification after it gets 2xx within 3 s",
            Self::NoMarkup => "4xx, or text/plain with X-Content-Type-Options: nosniff",
            Self::NoInjection => "no header field made of the token",
            Self::Framed => "Content-Length, chunks, or a status without body",
            Self::KeepsLine => "the connection stays open",
        }
    }

    /// What is wrong with these answers.
    ///
    /// # Errors
    ///
    /// The first thing that is, in words.
    pub fn judge(self, replies: &[Reply]) -> Result<(), String> {
        let each = |judge: &dyn Fn(&Reply) -> Result<(), String>| {
            replies.iter().try_for_each(|reply| judge(reply).map_err(|why| named(replies, reply, why)))
        };
        if self == Self::SameAsGenuine {
            // Without an answer nothing more was sent.
            each(&|reply| answered(reply).map(drop))?;
            let [one, other, ..] = replies else { return Err("nothing was sent".to_owned()) };
            let genuine = Genuine::of(answered(one)?, answered(other)?);
            each(&|reply| same(&genuine, reply))
        } else if self == Self::LastTwoXx {
            two_xx(replies.last().ok_or("nothing was sent")?).map_err(|why| format!("afterwards: {why}"))
        } else {
            each(&|reply| self.judge_one(reply))
        }
    }

    fn judge_one(self, reply: &Reply) -> Result<(), String> {
        let answer = answered(reply)?;
        match self {
            Self::Token => token(reply, answer),
            Self::TokenOrTwoXx if reply.is_notification() => two_xx(reply),
            Self::TokenOrTwoXx => token(reply, answer),
            Self::Is200 if answer.status != StatusCode::OK => Err(status(answer)),
            Self::IsPlainText => plain_text(answer),
            Self::IsBare => bare(reply, answer),
            Self::IsNotCompressed if answer.headers.contains_key(CONTENT_ENCODING) => {
                Err("the answer is compressed, or says so".to_owned())
            }
            Self::IsNoRedirect if answer.status.is_redirection() => Err(status(answer)),
            Self::TwoXx | Self::LastTwoXx => two_xx(reply),
            Self::Answers if answer.took > PROMPT => Err(late(answer)),
            Self::No5xx if answer.status.is_server_error() => Err(status(answer)),
            Self::NoMarkup => no_markup(answer),
            Self::NoInjection if answer.headers.contains_key(INJECTED) => {
                Err("a line of the token has become a header field".to_owned())
            }
            Self::Framed if !is_framed(answer) => {
                Err("the answer has neither Content-Length nor chunks: it ends when the connection does"
                    .to_owned())
            }
            Self::KeepsLine if !reply.is_line_open => {
                Err("the receiver closes the connection after its answer".to_owned())
            }
            Self::Is200
            | Self::IsNotCompressed
            | Self::IsNoRedirect
            | Self::Answers
            | Self::No5xx
            | Self::SameAsGenuine
            | Self::NoInjection
            | Self::Framed
            | Self::KeepsLine => Ok(()),
        }
    }
}

/// Which of several it was.
fn named(replies: &[Reply], reply: &Reply, why: String) -> String {
    if replies.len() == 1 { why } else { format!("{}: {why}", reply.words) }
}

fn answered(reply: &Reply) -> Result<&Answer, String> {
    reply.answer.as_ref().map_err(|error| cut(&Chain(error).to_string(), SHOWN_MAX))
}

fn status(answer: &Answer) -> String {
    format!("status {}", answer.status)
}

fn late(answer: &Answer) -> String {
    format!("{} only after {:.1} s", answer.status.as_u16(), answer.took.as_secs_f64())
}

fn two_xx(reply: &Reply) -> Result<(), String> {
    let answer = answered(reply)?;
    if !answer.status.is_success() {
        Err(status(answer))
    } else if answer.took > PROMPT {
        Err(late(answer))
    } else {
        Ok(())
    }
}

/// Whether a handshake has come out as Graph wants it.
pub(super) fn token(reply: &Reply, answer: &Answer) -> Result<(), String> {
    if answer.status != StatusCode::OK {
        Err(format!("{}, not 200", status(answer)))
    } else if answer.took > reply.kind.allowance() {
        Err(late(answer))
    } else {
        bare(reply, answer).and_then(|()| plain_text(answer))
    }
}

fn plain_text(answer: &Answer) -> Result<(), String> {
    let says = answer.content_type().unwrap_or_default();
    let bare = says.split(';').next().unwrap_or_default().trim();
    match bare {
        _ if answer.is_of_two_types() => Err(TWO_TYPES.to_owned()),
        _ if bare.eq_ignore_ascii_case("text/plain") => Ok(()),
        "" => Err("no Content-Type".to_owned()),
        _ => Err(format!("Content-Type {says}")),
    }
}

/// What is around the token, or in its place.
fn bare(reply: &Reply, answer: &Answer) -> Result<(), String> {
    let Kind::Handshake(token) = &reply.kind else { return Ok(()) };
    let said = String::from_utf8_lossy(&answer.body);
    match body_fault(&answer.body, token) {
        None => Ok(()),
        Some(fault) if said.is_empty() => Err(fault.to_owned()),
        Some(fault) => Err(format!("{fault}; it was {:?}", cut(&said, SHOWN_MAX))),
    }
}

fn no_markup(answer: &Answer) -> Result<(), String> {
    let body = String::from_utf8_lossy(&answer.body);
    if answer.status.is_client_error() && !body.contains('<') {
        return Ok(());
    }
    plain_text(answer)?;
    let options = answer.headers.get(X_CONTENT_TYPE_OPTIONS);
    match options {
        Some(value) if value.as_bytes().eq_ignore_ascii_case(b"nosniff") => Ok(()),
        Some(_) | None => Err("markup comes back without X-Content-Type-Options: nosniff".to_owned()),
    }
}

fn is_framed(answer: &Answer) -> bool {
    answer.status == StatusCode::NO_CONTENT
        || answer.headers.contains_key(CONTENT_LENGTH)
        || answer.headers.contains_key(TRANSFER_ENCODING)
}

/// What differs, in words that hold nothing of the answers' bodies.
fn same(genuine: &Genuine, reply: &Reply) -> Result<(), String> {
    let differences = genuine.differences(answered(reply)?);
    if differences.is_empty() { Ok(()) } else { Err(differences.join(", ")) }
}

/// What Graph calls a delivery.
pub(super) const DELIVERED: &[Judge] = &[Judge::TwoXx];
/// A field that would be there if a token could make one.
pub(super) const INJECTED: &str = "x-injected";
const SHOWN_MAX: usize = 120;
