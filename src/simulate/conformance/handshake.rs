//! The question whether a URL wants notifications: forms of the token, and what is around it.

use hyper::Method;

use super::{
    case::{
        Case, Play, must, should,
        sources::{DECODING, FORMS, HTTP, HTTP_1, THROTTLING, VALIDATION},
    },
    judge::Judge,
    shot::{Shot, Wire},
    stage::Stage,
};

const ECHO: &[Judge] = &[Judge::Token];
const CALM: &[Judge] = &[Judge::Answers, Judge::No5xx];

pub(super) const CASES: &[Case] = &[
    must(
        "handshake/today",
        "a sentence with spaces and colons, as Graph sends it today",
        VALIDATION,
        TODAY,
        ECHO,
    ),
    must("handshake/status-200", "the status is 200, not 202 or 204", VALIDATION, TODAY, &[Judge::Is200]),
    must(
        "handshake/text-plain",
        "the answer is text/plain, not JSON or HTML",
        VALIDATION,
        TODAY,
        &[Judge::IsPlainText],
    ),
    must(
        "handshake/bare-token",
        "no quotation marks, newline, byte order mark or page around the token",
        VALIDATION,
        TODAY,
        &[Judge::IsBare],
    ),
    should(
        "handshake/not-compressed",
        "nobody has asked for a compressed answer",
        HTTP,
        TODAY,
        &[Judge::IsNotCompressed],
    ),
    must(
        "handshake/no-redirect",
        "the URL answers itself; nothing says that Graph would follow elsewhere",
        VALIDATION,
        TODAY,
        &[Judge::IsNoRedirect],
    ),
    should(
        "handshake/prompt",
        "within 3 s, so that no cold start comes near the 10 s that Graph waits",
        VALIDATION,
        TODAY,
        &[Judge::Answers],
    ),
    must(
        "handshake/lower-case-hex",
        "%3a is a colon",
        DECODING,
        Play::Each(|stage| vec![stage.handshake("a:b", "a%3ab")]),
        ECHO,
    ),
    must(
        "handshake/upper-case-hex",
        "%3A is a colon",
        DECODING,
        Play::Each(|stage| vec![stage.handshake("a:b", "a%3Ab")]),
        ECHO,
    ),
    must(
        "handshake/plus-is-a-space",
        "+ is a space: the query is a form",
        VALIDATION,
        Play::Each(|stage| vec![stage.handshake("a b c", "a+b+c")]),
        ECHO,
    ),
    must(
        "handshake/percent-20-is-a-space",
        "%20 is a space",
        VALIDATION,
        Play::Each(|stage| vec![stage.handshake("a b c", "a%20b%20c")]),
        ECHO,
    ),
    must(
        "handshake/percent-2b-is-a-plus",
        "%2B is a plus",
        VALIDATION,
        Play::Each(|stage| vec![stage.handshake("a+b", "a%2Bb")]),
        ECHO,
    ),
    must(
        "handshake/decoded-once",
        "%2525 becomes %25, not %",
        VALIDATION,
        Play::Each(|stage| vec![stage.handshake("a%25b", "a%2525b")]),
        ECHO,
    ),
    must(
        "handshake/base64",
        "the form of before 2018, with / + and =; the form may change again",
        DECODING,
        Play::Each(|stage| vec![stage.handshake("MjU0NjAx/OS0w+ZThi==", "MjU0NjAx%2FOS0w%2BZThi%3D%3D")]),
        ECHO,
    ),
    should(
        "handshake/bare-equals-sign",
        "a value may hold = as it is",
        FORMS,
        Play::Each(|stage| vec![stage.handshake("a=b/c==", "a=b/c==")]),
        ECHO,
    ),
    should(
        "handshake/ampersand",
        "%26 is part of the token",
        FORMS,
        Play::Each(|stage| vec![stage.handshake("a&b=c", "a%26b%3Dc")]),
        ECHO,
    ),
    should(
        "handshake/utf-8",
        "letters of all the world",
        FORMS,
        Play::Each(|stage| vec![stage.handshake("é名🙂", "%C3%A9%E5%90%8D%F0%9F%99%82")]),
        ECHO,
    ),
    should(
        "handshake/unreserved",
        "what needs no encoding comes back as it is",
        FORMS,
        Play::Each(|stage| vec![stage.handshake("a-b._~c*", "a-b._~c*")]),
        ECHO,
    ),
    should(
        "handshake/quotation-marks",
        "%22 and %27 are part of the token, and text/plain needs no escapes for them",
        FORMS,
        Play::Each(|stage| vec![stage.handshake("say\"it's\"", "say%22it%27s%22")]),
        ECHO,
    ),
    should(
        "handshake/long",
        "a token of 2,000 characters",
        VALIDATION,
        Play::Each(|stage| vec![stage.handshake(&"a1".repeat(1000), &"a1".repeat(1000))]),
        ECHO,
    ),
    should(
        "handshake/own-query",
        "a query that the URL has already stands before the token",
        VALIDATION,
        Play::Each(|stage| vec![stage.query("a b", "team=a%20b&validationToken=a+b")]),
        ECHO,
    ),
    should(
        "handshake/query-behind",
        "further parameters stand behind the token",
        VALIDATION,
        Play::Each(|stage| vec![stage.query("a b", "validationToken=a+b&team=x")]),
        ECHO,
    ),
    should(
        "handshake/similar-names",
        "only the parameter of this very name counts",
        FORMS,
        Play::Each(|stage| {
            vec![stage.query("right", "xvalidationToken=wrong&validationTokens=wrong&validationToken=right")]
        }),
        ECHO,
    ),
    must(
        "handshake/twice",
        "both URLs of a subscription may be the same, which is asked twice then",
        VALIDATION,
        Play::Line(|stage| vec![stage.today(), stage.today()]),
        ECHO,
    ),
    must(
        "handshake/twenty-at-once",
        "many subscriptions are made at the same time",
        VALIDATION,
        Play::Together(|stage| (0..20).map(|_| stage.today()).collect()),
        ECHO,
    ),
    must(
        "handshake/beside-notifications",
        "notifications come in while it is asked",
        THROTTLING,
        Play::Together(beside),
        &[Judge::TokenOrTwoXx],
    ),
    should(
        "handshake/body-ignored",
        "a body beside the token means nothing",
        VALIDATION,
        Play::Each(|stage| {
            vec![Shot { body: r#"{"value":[]}"#.into(), ..stage.today() }.typed("application/json")]
        }),
        ECHO,
    ),
    should(
        "handshake/broken-body-ignored",
        "nor does a body that is not what its type says",
        VALIDATION,
        Play::Each(|stage| vec![Shot { body: "{".into(), ..stage.today() }.typed("application/json")]),
        ECHO,
    ),
    should(
        "handshake/chunked-body",
        "an empty body in chunks, instead of Content-Length: 0",
        HTTP_1,
        Play::Each(|stage| vec![stage.today().over(Wire::Chunked)]),
        ECHO,
    ),
    should(
        "handshake/no-content-type",
        "a request without body needs no Content-Type",
        HTTP,
        Play::Each(|stage| vec![Shot { media_type: None, ..stage.today() }]),
        ECHO,
    ),
    should(
        "handshake/markup",
        "whoever sends <script> gets no page with it",
        VALIDATION,
        Play::Each(|stage| vec![odd(stage, "%3Cscript%3Ealert(1)%3C%2Fscript%3E")]),
        &[Judge::NoMarkup],
    ),
    should(
        "handshake/header-injection",
        "a line break in the token makes no header field",
        HTTP_1,
        Play::Each(|stage| vec![odd(stage, "a%0d%0ax-injected%3A+1%0d%0a%0d%0ab")]),
        &[Judge::NoInjection, Judge::No5xx],
    ),
    should(
        "handshake/very-long",
        "8 KiB are too long or not, but no reason to fall over",
        HTTP,
        Play::Each(|stage| {
            vec![odd(stage, &"a".repeat(8 << 10)).called("?validationToken= and 8 KiB"), stage.today()]
        }),
        &[Judge::No5xx],
    ),
    should(
        "handshake/empty-token",
        "an empty token is no handshake, and no reason to fall over",
        VALIDATION,
        Play::Each(|stage| vec![odd(stage, "")]),
        CALM,
    ),
    should(
        "handshake/broken-encoding",
        "half an escape, and bytes that are not UTF-8",
        FORMS,
        Play::Each(|stage| ["a%4", "a%zz", "a%ff%fe", "a%00b"].map(|token| odd(stage, token)).into()),
        CALM,
    ),
    should(
        "handshake/two-tokens",
        "the parameter twice is nothing that Graph sends",
        FORMS,
        Play::Each(|stage| vec![stage.query("a", "validationToken=a&validationToken=b").strange()]),
        CALM,
    ),
    should(
        "handshake/get",
        "browsers and scanners ask with GET",
        HTTP,
        Play::Each(|stage| vec![Shot { method: Method::GET, media_type: None, ..stage.today() }.strange()]),
        CALM,
    ),
];

/// As Graph sends it today.
const TODAY: Play = Play::Each(|stage| vec![stage.today()]);

/// A token that Graph never sends.
fn odd(stage: &Stage, encoded: &str) -> Shot {
    stage.handshake("", encoded).strange()
}

fn beside(stage: &Stage) -> Vec<Shot> {
    let items: Vec<String> = (0..100).map(|_| stage.message()).collect();
    let mut shots: Vec<Shot> = (0..4).map(|_| stage.post(&items)).collect();
    shots.extend((0..4).map(|_| stage.today()));
    shots
}
