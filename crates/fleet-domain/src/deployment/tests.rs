//! The life of a deployment, told.

use uuid::Uuid;

use super::*;

fn name(text: &str) -> ComponentName {
    text.parse().expect("the test names a component")
}

fn revision(number: u64) -> RevisionNumber {
    RevisionNumber::new(number).expect("the test names a revision")
}

fn ordered(components: &[&str]) -> Deployment {
    let id = DeploymentId::from_uuid(Uuid::from_u128(1));
    Deployment::order(id, components.iter().map(|it| name(it))).expect("at least one component")
}

/// Ordered, and carried by revision 2.
fn published(components: &[&str]) -> Deployment {
    let mut deployment = ordered(components);
    deployment.publish(revision(2));
    deployment
}

fn failed() -> Progress {
    Progress::Failed(Failure::default())
}

fn report(overall: Progress, components: &[(&str, Progress)]) -> Result<Report, ReportRefused> {
    Report::new(overall, components.iter().map(|(it, progress)| (name(it), progress.clone())))
}

/// A report on a deployment whose only component is `api`.
fn api(progress: Progress) -> Report {
    report(progress.clone(), &[("api", progress)]).expect("no contradiction")
}

fn hear(deployment: &mut Deployment, report: Report) -> Result<Heard, ReportRefused> {
    deployment.hear(report, None, revision(9))
}

// margo(S-5, S-8, DS-7)
#[test]
fn what_we_know_is_what_we_heard_last() {
    let mut deployment = published(&["api"]);
    assert_eq!(hear(&mut deployment, api(Progress::Installed)), Ok(Heard::First));
    assert_eq!(hear(&mut deployment, api(Progress::Pending)), Ok(Heard::Again));
    assert_eq!(*deployment.life(), Life::Known(api(Progress::Pending)));
}

// margo(S-6)
#[test]
fn a_withdrawn_deployment_is_gone_once_the_device_has_removed_it() {
    let mut deployment = published(&["api"]);
    deployment.withdraw();
    assert_eq!(*deployment.life(), Life::Withdrawn(None));

    assert_eq!(hear(&mut deployment, api(Progress::Installing)), Ok(Heard::First));
    assert_eq!(hear(&mut deployment, api(Progress::Removing)), Ok(Heard::Again));
    assert_eq!(*deployment.life(), Life::Withdrawn(Some(api(Progress::Removing))));

    assert_eq!(hear(&mut deployment, api(Progress::Removed)), Ok(Heard::Again));
    assert_eq!(*deployment.life(), Life::Gone);
}

#[test]
fn a_device_may_repeat_its_last_word_but_not_take_it_back() {
    let mut deployment = published(&["api"]);
    deployment.withdraw();
    assert_eq!(hear(&mut deployment, api(Progress::Removed)), Ok(Heard::First));
    assert_eq!(hear(&mut deployment, api(Progress::Removed)), Ok(Heard::Again));
    assert_eq!(hear(&mut deployment, api(Progress::Installed)), Err(ReportRefused::Gone));
    assert_eq!(*deployment.life(), Life::Gone);
}

#[test]
fn a_removal_nobody_asked_for_is_noted_and_not_the_end() {
    let mut deployment = published(&["api"]);
    assert_eq!(hear(&mut deployment, api(Progress::Removed)), Ok(Heard::First));
    assert_eq!(*deployment.life(), Life::Known(api(Progress::Removed)));
}

#[test]
fn withdrawing_twice_is_withdrawing_once() {
    let mut once = published(&["api"]);
    hear(&mut once, api(Progress::Installed)).expect("a report that fits");
    once.withdraw();
    let mut twice = once.clone();
    twice.withdraw();
    assert_eq!(once, twice);
    assert_eq!(*once.life(), Life::Withdrawn(Some(api(Progress::Installed))));
}

#[test]
fn a_word_about_former_content_does_not_fulfil_the_newest_order() {
    let mut deployment = published(&["api"]);
    hear(&mut deployment, api(Progress::Installed)).expect("a report that fits");
    deployment.reorder([name("api")]).expect("it is wanted");
    assert_eq!(*deployment.life(), Life::Ordered { before: Some(api(Progress::Installed)) });

    let late = deployment.hear(api(Progress::Pending), None, revision(2));
    assert_eq!(late, Ok(Heard::Again), "nothing newer is published");
    assert_eq!(*deployment.life(), Life::Ordered { before: Some(api(Progress::Pending)) });

    deployment.publish(revision(3));
    deployment.publish(revision(4));
    assert_eq!(deployment.published(), Some(revision(3)), "the first one counts");
    let late = deployment.hear(api(Progress::Installed), Some(revision(2)), revision(3));
    assert_eq!(late, Ok(Heard::Again));
    assert!(matches!(deployment.life(), Life::Ordered { .. }));

    let newest = deployment.hear(api(Progress::Installed), Some(revision(3)), revision(3));
    assert_eq!(newest, Ok(Heard::Again));
    assert_eq!(*deployment.life(), Life::Known(api(Progress::Installed)));
}

#[test]
fn a_revision_that_was_never_published_cannot_have_been_adopted() {
    let mut deployment = published(&["api"]);
    assert_eq!(
        deployment.hear(api(Progress::Installed), Some(revision(4)), revision(3)),
        Err(ReportRefused::UnpublishedRevision { adopted: 4, newest: 3 })
    );
    assert_eq!(*deployment.life(), Life::Ordered { before: None });
}

#[test]
fn until_it_takes_up_new_content_a_device_may_speak_of_the_former_components() {
    let mut deployment = published(&["api"]);
    hear(&mut deployment, api(Progress::Installed)).expect("a report that fits");
    deployment.reorder([name("api"), name("db")]).expect("it is wanted");
    deployment.publish(revision(3));

    let former = deployment.hear(api(Progress::Installed), Some(revision(2)), revision(3));
    assert_eq!(former, Ok(Heard::Again));
    let both = [("api", Progress::Installed), ("db", Progress::Installed)];
    let newest = report(Progress::Installed, &both).expect("no contradiction");
    deployment.hear(newest, Some(revision(3)), revision(3)).expect("a report that fits");
    assert_eq!(
        hear(&mut deployment, api(Progress::Installed)),
        Err(ReportRefused::MissingComponent(name("db")))
    );
}

#[test]
fn what_was_never_published_is_not_what_the_device_speaks_of() {
    let mut deployment = published(&["api"]);
    hear(&mut deployment, api(Progress::Installed)).expect("a report that fits");
    deployment.reorder([name("db")]).expect("it is wanted");
    deployment.reorder([name("cache")]).expect("it is wanted");
    assert_eq!(hear(&mut deployment, api(Progress::Installed)), Ok(Heard::Again));
    deployment.publish(revision(3));
    let db = report(Progress::Pending, &[("db", Progress::Pending)]).expect("no contradiction");
    assert_eq!(hear(&mut deployment, db), Err(ReportRefused::UnknownComponent(name("db"))));
}

#[test]
fn what_was_withdrawn_is_not_ordered_again_but_anew() {
    let mut deployment = published(&["api"]);
    deployment.withdraw();
    assert_eq!(deployment.reorder([name("api")]), Err(ReorderRefused::Withdrawn));
}

#[test]
fn a_withdrawn_deployment_comes_back_with_what_the_device_last_said() {
    let mut deployment = published(&["api"]);
    hear(&mut deployment, api(Progress::Installed)).expect("a report that fits");
    deployment.withdraw();
    hear(&mut deployment, api(Progress::Removing)).expect("a report that fits");
    deployment.return_to([name("db")]).expect("at least one component");
    assert!(deployment.is_wanted());
    assert_eq!(*deployment.life(), Life::Ordered { before: Some(api(Progress::Removing)) });
    assert_eq!(deployment.published(), None);

    deployment.publish(revision(4));
    let last = deployment.hear(api(Progress::Removed), Some(revision(2)), revision(4));
    assert_eq!(last, Ok(Heard::Again), "the end of the removal is not that of the deployment");
    let db = report(Progress::Pending, &[("db", Progress::Pending)]).expect("no contradiction");
    let heard = deployment.hear(db.clone(), Some(revision(4)), revision(4));
    assert_eq!((heard, deployment.life()), (Ok(Heard::Again), &Life::Known(db)));
}

// margo(DS-7)
#[test]
fn what_the_device_let_go_of_begins_anew_under_the_same_id() {
    let mut deployment = published(&["api"]);
    deployment.reorder([name("db")]).expect("it is wanted");
    deployment.publish(revision(3));
    deployment.withdraw();
    let db = report(Progress::Removed, &[("db", Progress::Removed)]).expect("no contradiction");
    hear(&mut deployment, db).expect("a report that fits");
    assert_eq!(*deployment.life(), Life::Gone);

    deployment.return_to([name("api")]).expect("at least one component");
    assert_eq!(deployment, ordered(&["api"]));
    assert_eq!(hear(&mut deployment, api(Progress::Pending)), Ok(Heard::First));
    assert_eq!(deployment.return_to([]), Err(NoComponents));
}

#[test]
fn an_order_that_no_device_was_told_of_ends_without_one() {
    let mut unheard = ordered(&["api"]);
    assert!(!unheard.forget_unpublished(), "it is wanted");
    unheard.withdraw();
    assert!(unheard.forget_unpublished());
    assert_eq!(*unheard.life(), Life::Gone);

    let mut changed = ordered(&["api"]);
    changed.reorder([name("db")]).expect("it is wanted");
    changed.withdraw();
    assert!(changed.forget_unpublished());

    let mut told = published(&["api"]);
    told.withdraw();
    assert!(!told.forget_unpublished());

    let mut told_of_former_content = published(&["api"]);
    told_of_former_content.reorder([name("db")]).expect("it is wanted");
    told_of_former_content.withdraw();
    assert!(!told_of_former_content.forget_unpublished());
}

// margo(S-1, S-3)
#[test]
fn a_report_covers_exactly_the_components_of_its_deployment() {
    let mut deployment = published(&["api", "db"]);
    let before = deployment.clone();
    let too_few = report(Progress::Installed, &[("api", Progress::Installed)]);
    let too_many = report(
        Progress::Installed,
        &[
            ("api", Progress::Installed),
            ("db", Progress::Installed),
            ("cache", Progress::Installed),
        ],
    );
    assert_eq!(
        hear(&mut deployment, too_few.expect("no contradiction")),
        Err(ReportRefused::MissingComponent(name("db")))
    );
    assert_eq!(
        hear(&mut deployment, too_many.expect("no contradiction")),
        Err(ReportRefused::UnknownComponent(name("cache")))
    );
    assert_eq!(deployment, before);
}

// margo(S-1, S-3)
#[test]
fn a_report_names_each_component_once() {
    assert_eq!(
        report(Progress::Pending, &[("db", Progress::Pending), ("db", Progress::Pending)]),
        Err(ReportRefused::RepeatedComponent(name("db")))
    );
}

// margo(S-2, S-3, X-03)
#[test]
fn the_gravest_component_speaks_for_the_deployment() {
    let mildest_first = [
        Progress::Installed,
        Progress::Removed,
        Progress::Pending,
        Progress::Installing,
        Progress::Removing,
        failed(),
    ];
    for pair in mildest_first.windows(2) {
        let [milder, graver] = pair else { unreachable!("windows of two") };
        let both = [("api", milder.clone()), ("db", graver.clone())];
        assert!(report(graver.clone(), &both).is_ok(), "{graver} speaks for {milder}");
        assert_eq!(
            report(milder.clone(), &both),
            Err(ReportRefused::Contradiction { overall: milder.name(), gravest: graver.name() })
        );
    }
}

// margo(S-3)
#[test]
fn a_deployment_may_fail_before_its_components_do() {
    assert!(report(failed(), &[("api", Progress::Pending)]).is_ok());
}

#[test]
fn a_deployment_is_restored_as_it_was_kept() {
    let mut deployment = published(&["api"]);
    hear(&mut deployment, api(Progress::Installed)).expect("a report that fits");
    deployment.reorder([name("db")]).expect("it is wanted");
    assert_eq!(Deployment::restore(deployment.record()), Ok(deployment));
}

#[test]
fn what_was_lost_says_nothing_of_what_is_published_anew() {
    let mut deployment = ordered(&["api"]);
    deployment.publish_anew(revision(9));
    assert_eq!(deployment.published(), None, "it was not published before");
    deployment.publish(revision(3));
    deployment.publish_anew(revision(9));
    let mut says = |adopted| {
        deployment
            .hear(api(Progress::Installed), Some(revision(adopted)), revision(9))
            .expect("it fits");
        deployment.life().clone()
    };
    assert_eq!(says(8), Life::Ordered { before: Some(api(Progress::Installed)) });
    assert_eq!(says(9), Life::Known(api(Progress::Installed)));
    deployment.publish_anew(revision(20));
    assert_eq!(deployment.published(), Some(revision(9)), "the device has spoken of it");
}
