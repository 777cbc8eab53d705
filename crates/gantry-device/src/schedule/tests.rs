//! The schedule against a slow and obvious reference: minute by minute, in the local calendar.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::pace::Pacing;
use super::*;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// With changes of half an hour, of a whole day, in both halves of the year, for Ramadan, and without.
const ZONES: [&str; 10] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Pacific/Auckland",
    "America/Santiago",
];
const WEEK: [Weekday; 7] = [
    Weekday::Monday,
    Weekday::Tuesday,
    Weekday::Wednesday,
    Weekday::Thursday,
    Weekday::Friday,
    Weekday::Saturday,
    Weekday::Sunday,
];

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).expect("the bundled database has it")
}

fn ms(text: &str) -> i64 {
    text.parse::<Timestamp>().expect("an RFC 3339 time").as_millisecond()
}

fn local(at_ms: i64, zone: &TimeZone) -> DateTime {
    zone.to_datetime(Timestamp::from_millisecond(at_ms).expect("in the calendar"))
}

/// The minutes of some days, each with its local time.
struct Calendar {
    start: i64,
    minutes: Vec<DateTime>,
}

impl Calendar {
    fn around(at_ms: i64, zone: &TimeZone) -> Self {
        let start = (at_ms - 4 * DAY_MS).div_euclid(MINUTE_MS) * MINUTE_MS;
        let minutes = (0..9 * 24 * 60).map(|it| local(start + it * MINUTE_MS, zone));
        Self { start, minutes: minutes.collect() }
    }

    fn at(&self, place: usize) -> i64 {
        self.start + i64::try_from(place).expect("few") * MINUTE_MS
    }

    /// A window of one day, by looking at every minute: it begins at the first minute that is not before
    /// `from`, and ends at the last one that is `to`, or else after the last one that is before it.
    fn window(&self, from: DateTime, to: DateTime) -> Option<Span> {
        let first = self.minutes.iter().position(|it| *it >= from)?;
        let last = self.minutes.iter().rposition(|it| *it <= to)?;
        let end = if self.minutes[last] == to { last } else { last + 1 };
        (first < end).then(|| Span { start: self.at(first), end: self.at(end) })
    }

    fn open(&self, at_ms: i64, window: &Window) -> bool {
        let today = self.minutes[self.minutes.len() * 4 / 9].date();
        let mut days: Vec<Date> = (-2..=1)
            .map(|it| today.checked_add(jiff::Span::new().days(it)).expect("in the calendar"))
            .collect();
        days.retain(|date| {
            (window.days.is_empty() && window.dates.is_empty())
                || window.days.contains(&date.weekday())
                || window.dates.iter().any(|it| it.contains(date))
        });
        days.into_iter().any(|date| {
            let time = |date: Date, minutes: u16| {
                let (hour, minute) = (i8::try_from(minutes / 60), i8::try_from(minutes % 60));
                date.at(hour.expect("below 24"), minute.expect("below 60"), 0, 0)
            };
            let tomorrow = date.tomorrow().expect("in the calendar");
            let to = match window.to {
                1440 => time(tomorrow, 0),
                it if it <= window.from => time(tomorrow, it),
                it => time(date, it),
            };
            self.window(time(date, window.from), to).is_some_and(|it| it.contains(at_ms))
        })
    }
}

/// A window with most of its edges near a minute of the day.
fn window(near: u16) -> impl Strategy<Value = Window> {
    let days = prop::collection::vec(prop::sample::select(&WEEK[..]), 0..4);
    let edge = move || {
        let close = (0_u16..12).prop_map(move |it| (near / 15 * 15 + 1440 - 90 + it * 15) % 1440);
        prop_oneof![3 => close, 1 => (0_u16..96).prop_map(|it| it * 15)]
    };
    (days, edge(), edge()).prop_map(|(days, from, to)| {
        let to = if to == from { 1440 } else { to };
        Window { days, dates: Vec::new(), from, to }
    })
}

/// Changes of the clocks of a zone, or an instant of each of some years where there are none.
fn changes(zone_name: &str) -> Vec<i64> {
    let from = Timestamp::from_millisecond(ms("2005-01-01T00:00:00Z")).expect("in the calendar");
    let zone = zone(zone_name);
    let changes = zone.following(from).map(|it| it.timestamp().as_millisecond());
    let changes: Vec<i64> = changes.take_while(|it| *it < ms("2037-01-01T00:00:00Z")).collect();
    if changes.is_empty() {
        (0..30).map(|it| ms("2005-03-03T03:00:00Z") + it * 365 * DAY_MS).collect()
    } else {
        changes
    }
}

/// A zone, an instant and windows: most of them near a change of the clocks.
fn case() -> impl Strategy<Value = (&'static str, i64, Vec<Window>, Vec<Window>)> {
    let place = prop::sample::select(&ZONES[..])
        .prop_flat_map(|zone| (Just(zone), prop::sample::select(changes(zone))));
    place.prop_flat_map(|(zone_name, change)| {
        let before = local(change - MINUTE_MS, &zone(zone_name)).time();
        let near = u16::try_from(i16::from(before.hour()) * 60 + i16::from(before.minute()));
        let near = near.expect("a minute of the day");
        let windows = move |most| prop::collection::vec(window(near), 0..most);
        let by = prop_oneof![4 => -2 * HOUR_MS..2 * HOUR_MS, 1 => -200 * DAY_MS..200 * DAY_MS];
        (Just(zone_name), by.prop_map(move |by| change + by), windows(3), windows(2))
    })
}

fn hours(zone_name: &str, periods: Vec<Window>, downtimes: Vec<Window>) -> Hours {
    let zone = zone(zone_name);
    let downtimes = downtimes
        .into_iter()
        .map(|it| Downtime { reason: "shift".to_owned(), when: When::Recurring(it, zone.clone()) });
    let downtimes = downtimes.collect();
    Hours { zone, periods, downtimes }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn an_instant_is_open_when_the_local_calendar_says_so(
        (zone_name, at, periods, downtimes) in case()
    ) {
        let calendar = Calendar::around(at, &zone(zone_name));
        let in_downtime = downtimes.iter().any(|it| calendar.open(at, it));
        let in_period = periods.is_empty() || periods.iter().any(|it| calendar.open(at, it));
        let hours = hours(zone_name, periods, downtimes);
        prop_assert_eq!(hours.closed_at(at, Purpose::Talk).is_some(), in_downtime);
        prop_assert_eq!(hours.closed_at(at, Purpose::Look).is_none(), in_period && !in_downtime);
    }

    #[test]
    fn the_opening_is_the_first_open_instant(
        (zone_name, at, periods, downtimes) in case()
    ) {
        let hours = hours(zone_name, periods, downtimes);
        let (opening, why) = hours.opening(at, Purpose::Look);
        prop_assert_eq!(why.is_none(), opening == Opening::At(at));
        // All edges are on whole minutes: what is closed on each of them is closed in between.
        let minutes = (at.div_euclid(MINUTE_MS) + 1..).map(|it| it * MINUTE_MS);
        let minutes = minutes.take_while(|it| *it < opening.at()).take(12 * 24 * 60);
        for minute in minutes.step_by(7) {
            prop_assert!(hours.closed_at(minute, Purpose::Look).is_some());
        }
        if let Opening::At(opening) = opening {
            prop_assert!(hours.closed_at(opening, Purpose::Look).is_none());
            prop_assert!(opening == at || hours.closed_at(opening - 1, Purpose::Look).is_some());
        }
    }
}

fn nightly(from: &str, to: &str) -> Window {
    let minutes = |text: &str| {
        let (hour, minute) = text.split_once(':').expect("a time");
        hour.parse::<u16>().expect("an hour") * 60 + minute.parse::<u16>().expect("a minute")
    };
    Window { days: Vec::new(), dates: Vec::new(), from: minutes(from), to: minutes(to) }
}

#[test]
fn an_edge_that_clocks_leave_out_is_the_first_instant_after_the_gap() {
    // In Berlin 02:00 to 03:00 is left out on 29 March 2026, which begins at 01:00 UTC.
    let berlin = zone("Europe/Berlin");
    let open = nightly("02:30", "04:00").open_at(ms("2026-03-29T01:30:00Z"), &berlin);
    let span = |start, end| Some(Span { start: ms(start), end: ms(end) });
    assert_eq!(open, span("2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"));
    let open = nightly("01:00", "02:30").open_at(ms("2026-03-29T00:30:00Z"), &berlin);
    assert_eq!(open, span("2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z"));
    // What lies in the gap as a whole does not come that day.
    let next = nightly("02:15", "02:45").next_after(ms("2026-03-28T12:00:00Z"), &berlin);
    assert_eq!(next, span("2026-03-30T00:15:00Z", "2026-03-30T00:45:00Z"));
}

#[test]
fn a_window_covers_both_passes_of_an_hour_that_comes_twice() {
    let berlin = zone("Europe/Berlin");
    let open = nightly("02:15", "02:45").open_at(ms("2026-10-25T01:00:00Z"), &berlin);
    let expected = Span { start: ms("2026-10-25T00:15:00Z"), end: ms("2026-10-25T01:45:00Z") };
    assert_eq!(open, Some(expected));
}

#[test]
fn a_day_that_an_island_left_out_has_no_window() {
    // Samoa had no 30 December 2011.
    let apia = zone("Pacific/Apia");
    let next = nightly("08:00", "10:00").next_after(ms("2011-12-29T20:30:00Z"), &apia);
    assert_eq!(next.map(|it| it.start), Some(ms("2011-12-30T18:00:00Z")));
    assert_eq!(local(ms("2011-12-30T18:00:00Z"), &apia).date(), jiff::civil::date(2011, 12, 31));
}

#[test]
fn dates_are_those_on_which_a_window_begins() {
    let eve = jiff::civil::date(2026, 12, 24);
    let window = Window { dates: vec![eve..=eve], ..nightly("22:00", "05:00") };
    let utc = TimeZone::UTC;
    assert!(window.open_at(ms("2026-12-25T04:59:59Z"), &utc).is_some());
    assert!(window.open_at(ms("2026-12-25T05:00:00Z"), &utc).is_none());
    assert!(window.open_at(ms("2026-12-24T04:00:00Z"), &utc).is_none());
    assert_eq!(window.next_after(ms("2026-12-25T00:00:00Z"), &utc), None);
}

#[test]
fn what_is_not_in_sight_is_not_looked_for_for_ever() {
    let past = jiff::civil::date(2020, 1, 1);
    let window = Window { dates: vec![past..=past], ..nightly("00:00", "24:00") };
    let hours = hours("UTC", vec![window], Vec::new());
    let now = ms("2026-01-01T00:00:00Z");
    let (Opening::NotBefore(at), Some(Closed::OutsidePollingPeriod)) =
        hours.opening(now, Purpose::Look)
    else {
        panic!("it never opens")
    };
    assert!(at > now);
}

// margo(PO-2, PO-3, PO-4)
#[test]
fn each_contact_says_why_it_is_not_earlier() {
    let night = nightly("22:00", "23:00");
    let shift = nightly("22:30", "22:45");
    let hours = hours("UTC", vec![night], vec![shift]);
    let rate = Rate { interval: std::time::Duration::from_secs(20 * 60), ..Rate::default() };
    let told: Vec<_> = forecast::contacts(ms("2026-01-01T21:00:00Z"), rate, hours)
        .take(4)
        .map(|it| (Timestamp::from_millisecond(it.at.at()).expect("near").to_string(), it.because))
        .collect();
    let downtime = Because::Closed(Closed::Downtime { reason: "shift".to_owned() });
    let period = Because::Closed(Closed::OutsidePollingPeriod);
    assert_eq!(
        told,
        [
            ("2026-01-01T22:00:00Z".to_owned(), period.clone()),
            ("2026-01-01T22:20:00Z".to_owned(), Because::Pace(Pacing::Interval)),
            ("2026-01-01T22:45:00Z".to_owned(), downtime),
            ("2026-01-02T22:00:00Z".to_owned(), period),
        ]
    );
}
