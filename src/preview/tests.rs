use super::{change::Object, *};

fn preview(account: AccountPreview) -> Preview {
    let owner = Owner { namespace: "team".to_owned(), name: "production".to_owned() };
    let mut resource = ResourcePreview::new(&owner, "a.yaml, document 1", "default", Mode::Enforce);
    resource.accounts = vec![account];
    Preview::new(None, Vec::new(), vec![resource])
}

fn changed(fields: Vec<FieldChange>) -> AccountPreview {
    AccountPreview {
        account: "111122223333".to_owned(),
        result: Outcome::Change,
        problems: Vec::new(),
        notes: Vec::new(),
        changes: vec![Change {
            object: Object::Role,
            arn: "arn:aws:iam::111122223333:role/PortIntegrationRole-production".to_owned(),
            operation: "UpdateRole",
            summary: "set it right".to_owned(),
            fields,
        }],
    }
}

fn field(observed: &str) -> FieldChange {
    FieldChange {
        field: "Description".to_owned(),
        observed: Some(observed.to_owned()),
        wanted: Some("Read access for Port".to_owned()),
    }
}

#[test]
fn a_change_is_read_as_a_diff() {
    let text = preview(changed(vec![field("old")])).text(Style { colour: false });
    let wanted = "\
team/production (a.yaml, document 1)
  account 111122223333: to change
    ~ role arn:aws:iam::111122223333:role/PortIntegrationRole-production
        - Description: old
        + Description: Read access for Port

1 to change, 0 unchanged, 0 failed
";
    assert_eq!(text, wanted);
}

/// What somebody wrote into an account would else command the terminal of who looks at it.
#[test]
fn text_of_an_account_moves_no_cursor() {
    let text = preview(changed(vec![field("a\x1b[2Jb\r\nc")])).text(Style { colour: false });
    assert!(text.contains(r"- Description: a\u{1b}[2Jb\r\nc"), "{text}");
    assert!(text.chars().all(|char| char == '\n' || !char.is_control()), "{text}");
}

#[test]
fn colours_are_put_where_they_are_asked_for() {
    let preview = preview(changed(vec![field("old")]));
    assert!(preview.text(Style { colour: true }).contains("\x1b[31m- Description: old\x1b[0m"));
    assert!(!preview.text(Style { colour: false }).contains('\x1b'));
}

#[test]
fn accounts_are_counted_by_what_becomes_of_them() {
    let id: AccountId = "111122223333".parse().unwrap();
    let trouble = || Trouble::new(AccountState::NotAllowed, Reason::NotAllowed, "no");
    let owner = Owner { namespace: "team".to_owned(), name: "production".to_owned() };
    let mut resource = ResourcePreview::new(&owner, "a.yaml, document 1", "default", Mode::Enforce);
    let unchanged = AccountPreview { result: Outcome::Unchanged, changes: Vec::new(), ..changed(Vec::new()) };
    resource.accounts = vec![
        changed(Vec::new()),
        unchanged,
        AccountPreview::failed(&id, trouble()),
        AccountPreview::skipped(&id, trouble()),
    ];
    let mut broken = ResourcePreview::new(&owner, "b.yaml, document 1", "default", Mode::Enforce);
    broken.problem = Some(trouble());
    let summary = Preview::new(None, Vec::new(), vec![resource, broken]).summary();
    assert_eq!(summary, Summary { change: 1, unchanged: 1, failed: 2, skipped: 1 });
}
