use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use crate::{
    api::Limits,
    domain::{AccountId, RoleName},
    policy::published::{INLINE_POLICY_CHARACTERS, Policy, Published, ROLE_NAME, Settings},
};

/// Templates of `CloudFormation`; a line `POLICY` stands for the policy document.
const TARGET_ROLE: &str = include_str!("policies/target-account-role.yaml");
const ORGANIZATIONS_ROLE: &str = include_str!("policies/organizations-role.yaml");

/// `port-aws-operator policies`: give the same limits here as in the `PortAwsAccess`.
#[derive(Debug, clap::Args)]
pub struct PoliciesArgs {
    /// Whose policy to print
    #[arg(value_enum, required_unless_present_any = ["actions", "output_dir"])]
    pub which: Option<Published>,

    /// Print the names of the actions alone, one a line; without a policy's name, those of all
    #[arg(long)]
    pub actions: bool,

    /// Write every policy, and the templates of `CloudFormation` and Terraform with them, into this folder
    #[arg(long, value_name = "DIR", conflicts_with_all = ["which", "actions"])]
    pub output_dir: Option<PathBuf>,

    /// ID of the account that the policy is for
    #[arg(long, value_name = "ID", default_value = "*", value_parser = account)]
    pub account_id: String,

    /// What role names start with (limits.roleNamePrefix)
    #[arg(long, value_name = "PREFIX")]
    pub role_name_prefix: Option<String>,

    /// An issuer (limits.issuerUrls); may be given several times
    #[arg(long = "issuer-url", value_name = "URL")]
    pub issuer_urls: Vec<String>,

    /// A managed policy that a role may have (limits.managedPolicyArns); may be given several times
    #[arg(long = "managed-policy-arn", value_name = "ARN")]
    pub managed_policy_arns: Vec<String>,

    /// The boundary that every role has to have (limits.permissionsBoundaryArn)
    #[arg(long, value_name = "ARN")]
    pub permissions_boundary_arn: Option<String>,

    /// Key of a further role tag (limits.tagKeys); may be given several times
    #[arg(long = "tag-key", value_name = "KEY")]
    pub tag_keys: Vec<String>,

    /// Name of the role that the operator assumes in each account (assumeRole.roleName)
    #[arg(long, value_name = "NAME", default_value = ROLE_NAME)]
    pub role_name: RoleName,

    /// The role that the operator assumes to find accounts (organizations.roleArn)
    #[arg(long, value_name = "ARN", value_parser = role_arn)]
    pub organizations_role_arn: Option<String>,
}

impl PoliciesArgs {
    /// Prints or writes the policies.
    ///
    /// # Errors
    /// If an argument is not valid, a policy is too long for IAM, or writing fails.
    pub fn run(self) -> Result<(), String> {
        let settings = self.settings()?;
        if let Some(dir) = &self.output_dir {
            return write_all(dir, &settings);
        }
        let chosen: Vec<Published> = self.which.map_or(Published::ALL.to_vec(), |which| vec![which]);
        let text = if self.actions {
            let mut actions: Vec<_> = chosen.iter().flat_map(|which| which.actions(&settings)).collect();
            actions.sort_unstable();
            actions.dedup();
            actions.join("\n") + "\n"
        } else {
            chosen.iter().map(|which| json(*which, &settings)).collect::<Result<String, _>>()?
        };
        let written = std::io::stdout().write_all(text.as_bytes());
        written.map_err(|error| format!("writing to standard output failed: {error}"))
    }

    fn settings(&self) -> Result<Settings, String> {
        let default = Limits::default();
        let given = |values: &[String], default: Vec<String>| if values.is_empty() { default } else { values.to_vec() };
        let limits = Limits {
            issuer_urls: given(&self.issuer_urls, default.issuer_urls),
            managed_policy_arns: given(&self.managed_policy_arns, default.managed_policy_arns),
            role_name_prefix: self.role_name_prefix.clone().unwrap_or(default.role_name_prefix),
            permissions_boundary_arn: self.permissions_boundary_arn.clone(),
            tag_keys: self.tag_keys.clone(),
            ..Limits::default()
        };
        let settings = Settings::within(&limits).map_err(|error| error.to_string())?;
        Ok(Settings {
            account: self.account_id.clone(),
            role_name: self.role_name.to_string(),
            organizations_role_arn: self.organizations_role_arn.clone(),
            ..settings
        })
    }
}

fn account(text: &str) -> Result<String, String> {
    if text != "*" {
        text.parse::<AccountId>().map_err(|error| error.to_string())?;
    }
    Ok(text.to_owned())
}

fn role_arn(text: &str) -> Result<String, String> {
    let parts = text.strip_prefix("arn:aws:iam::").and_then(|rest| rest.split_once(":role/"));
    let valid = parts.is_some_and(|(account, path)| {
        account.parse::<AccountId>().is_ok() && path.split('/').all(|part| part.parse::<RoleName>().is_ok())
    });
    if valid { Ok(text.to_owned()) } else { Err("must be arn:aws:iam::ACCOUNT:role/NAME".to_owned()) }
}

/// The files of `deploy/aws` that come from the policies.
fn write_all(dir: &Path, settings: &Settings) -> Result<(), String> {
    let of_account = |account: &str| Settings { account: account.to_owned(), ..settings.clone() };
    let files = [
        ("operator-policy.json", json(Published::Target, settings)?),
        ("assume-role-policy.json", json(Published::Hub, settings)?),
        ("organizations-policy.json", json(Published::Organizations, settings)?),
        ("target-account-role.yaml", template(TARGET_ROLE, Published::Target, &of_account("${AWS::AccountId}"))?),
        ("organizations-role.yaml", template(ORGANIZATIONS_ROLE, Published::Organizations, settings)?),
        ("terraform/target-policy.json.tftpl", json(Published::Target, &of_account("${account_id}"))?),
    ];
    for (name, text) in files {
        let path = dir.join(name);
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        let written = made.and_then(|()| fs::write(&path, text));
        written.map_err(|error| format!("writing {} failed: {error}", path.display()))?;
    }
    Ok(())
}

fn json(which: Published, settings: &Settings) -> Result<String, String> {
    let text = serde_json::to_string_pretty(&checked(which, settings)?);
    text.map(|text| text + "\n").map_err(|error| format!("a policy cannot be written: {error}"))
}

/// A template of `CloudFormation` with the policy at its place. What names the account is left to
/// `Fn::Sub`, which does not look at anything else.
fn template(text: &str, which: Published, settings: &Settings) -> Result<String, String> {
    // One line for each value, however long: the account is put in line by line.
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false, compact_list_indent: false };
    let policy = serde_saphyr::to_string_with_options(&checked(which, settings)?, options);
    let policy = policy.map_err(|error| format!("a policy cannot be written as YAML: {error}"))?;
    let mut lines = vec!["# Generated by `port-aws-operator policies`; do not edit.".to_owned()];
    for line in text.lines() {
        match line.strip_suffix("POLICY") {
            Some(indent) => lines.extend(policy.lines().map(|line| format!("{indent}{}", substituted(line)))),
            None => lines.push(line.to_owned()),
        }
    }
    Ok(lines.join("\n") + "\n")
}

fn substituted(line: &str) -> String {
    let value = [": ", "- "].iter().filter_map(|mark| line.find(mark).map(|at| at + mark.len())).min();
    match value.filter(|_| line.contains("${AWS::")) {
        Some(at) => format!("{}!Sub {}", &line[..at], &line[at..]),
        None => line.to_owned(),
    }
}

fn checked(which: Published, settings: &Settings) -> Result<Policy, String> {
    let policy = which.policy(settings);
    let characters = policy.characters();
    if characters > INLINE_POLICY_CHARACTERS {
        return Err(format!(
            "the policy has {characters} characters, and a role takes {INLINE_POLICY_CHARACTERS}: leave out issuers or policies"
        ));
    }
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: PoliciesArgs,
    }

    fn settings(args: &[&str]) -> Result<Settings, String> {
        let parsed = Command::try_parse_from(["policies", "target"].iter().chain(args));
        parsed.map_err(|error| error.to_string())?.args.settings()
    }

    #[test]
    fn what_would_widen_a_policy_unseen_is_refused() {
        for bad in [
            ["--account-id", "1111*"],
            ["--role-name-prefix", "*"],
            ["--issuer-url", "https://*"],
            ["--managed-policy-arn", "arn:aws:iam::aws:policy/*"],
            ["--permissions-boundary-arn", "*"],
            ["--role-name", "a*"],
            ["--organizations-role-arn", "arn:aws:iam::111122223333:role/*"],
        ] {
            assert!(settings(&bad).is_err(), "{bad:?}");
        }
        assert_eq!(settings(&[]).map(|it| it.account), Ok("*".to_owned()));
    }

    #[test]
    fn a_policy_that_no_role_takes_is_refused() -> Result<(), String> {
        let urls: Vec<String> = (0..20).map(|n| format!("https://i.example/{n}{}", "x".repeat(100))).collect();
        let args: Vec<&str> = urls.iter().flat_map(|url| ["--issuer-url", url]).collect();
        let outcome = json(Published::Target, &settings(&args)?);
        assert!(outcome.is_err_and(|error| error.contains("leave out issuers")));
        Ok(())
    }

    #[test]
    fn templates_have_the_policy_with_the_account_substituted() -> Result<(), String> {
        let of_account = Settings { account: "${AWS::AccountId}".to_owned(), ..settings(&[])? };
        let text = template(TARGET_ROLE, Published::Target, &of_account)?;
        let with_account: Vec<&str> = text.lines().filter(|line| line.contains("${")).collect();
        assert!(with_account.len() >= Published::Target.policy(&of_account).statement.len() - 1, "{text}");
        assert!(with_account.iter().all(|line| line.contains("- !Sub arn:aws:iam::${AWS::AccountId}:")), "{text}");
        assert!(!text.contains("POLICY"), "{text}");
        Ok(())
    }
}
