//! When a token is fetched anew, and who fetches it. What comes over the wire is tried in `tests/it/graph`.

use super::*;

#[test]
fn a_token_is_fetched_anew_before_it_ends() {
    for (life, due, end) in [
        (0, 0, 0),
        (10, 7, 9),
        (60, 42, 54),
        (600, 420, 570),
        // Five minutes before the end come first where life allows it.
        (900, 600, 870),
        (3_599, 2_519, 3_569),
        (86_400, 60_480, 86_370),
    ] {
        let seconds = |time: Duration| time.as_secs();
        let (found_due, found_end) = terms(Duration::from_secs(life));
        assert_eq!((seconds(found_due), seconds(found_end)), (due, end), "{life}");
    }
}
