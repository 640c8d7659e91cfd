//! A report as JUnit XML, the form that CI systems read (<https://github.com/testmoapp/junitxml> describes it).

use std::fmt::Write;

use super::{
    case::Level,
    outcome::{Outcome, Verdict},
    report::Report,
};

/// One suite for each group. Advice that failed counts as a failure only strictly, and is told as output otherwise.
pub fn write(report: &Report, strictly: bool) -> String {
    let mut groups: Vec<&str> = report.cases.iter().map(|case| case.group).collect();
    groups.dedup();
    let suites: String = groups.iter().map(|group| suite(report, group, strictly)).collect();
    let (tests, seconds) = (report.cases.len(), report.took_ms / 1000.0);
    let failures = report.cases.iter().filter(|case| is_failure(case, strictly)).count();
    let skipped = report.summary.skipped;
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"graphhook simulate conformance\" \
         tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\" time=\"{seconds:.3}\">\n\
         {suites}</testsuites>\n"
    )
}

fn suite(report: &Report, group: &str, strictly: bool) -> String {
    let cases: Vec<&Outcome> = report.cases.iter().filter(|case| case.group == group).collect();
    let failures = cases.iter().filter(|case| is_failure(case, strictly)).count();
    let skipped = cases.iter().filter(|case| case.result == Verdict::Skipped).count();
    let seconds = cases.iter().map(|case| case.took_ms).sum::<f64>() / 1000.0;
    let tests: String = cases.iter().map(|case| test(case, strictly)).collect();
    format!(
        "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\" \
         timestamp=\"{}\" time=\"{seconds:.3}\">\n{tests}  </testsuite>\n",
        escaped(group),
        cases.len(),
        escaped(&report.began),
    )
}

fn test(case: &Outcome, strictly: bool) -> String {
    let mut text = format!(
        "    <testcase classname=\"conformance.{}\" name=\"{}\" time=\"{:.3}\">",
        escaped(case.group),
        escaped(case.name),
        case.took_ms / 1000.0
    );
    let observed = escaped(&case.observed);
    let detail = escaped(&detail(case));
    match case.result {
        Verdict::Passed => {}
        Verdict::Skipped => put(&mut text, format_args!("<skipped message=\"{observed}\"/>")),
        Verdict::Failed if is_failure(case, strictly) => put(
            &mut text,
            format_args!(
                "<failure type=\"{}\" message=\"{observed}\">{detail}</failure>",
                case.level.as_str()
            ),
        ),
        Verdict::Failed => {
            put(&mut text, format_args!("<system-out>advice that is not followed: {detail}</system-out>"))
        }
    }
    text + "</testcase>\n"
}

fn put(text: &mut String, words: std::fmt::Arguments<'_>) {
    text.write_fmt(words).expect("a string takes all");
}

fn detail(case: &Outcome) -> String {
    let Outcome { about, sent, expected, observed, graph, source, .. } = case;
    format!(
        "{about}\nsent: {sent}\nexpected: {expected}\nobserved: {observed}\nGraph: {graph}\nsee: {}, {}",
        source.title, source.url
    )
}

fn is_failure(case: &Outcome, strictly: bool) -> bool {
    case.is_failed() && (strictly || case.level == Level::Must)
}

/// Text for an attribute or an element. What XML 1.0 has no way to write becomes U+FFFD.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            '\t' => escaped.push_str("&#9;"),
            '\0'..=' ' if character != ' ' => escaped.push('\u{fffd}'),
            '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_receiver_says_breaks_the_document() {
        assert_eq!(
            escaped("a<b>&\"'\n\u{1b}[\0é\u{fffe}"),
            "a&lt;b&gt;&amp;&quot;'&#10;\u{fffd}[\u{fffd}é\u{fffd}"
        );
    }
}
