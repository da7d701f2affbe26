//! Ports, files and flags of the servers.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use kube::Config;

use super::files::Tokens;
use super::{READY_DEADLINE, read_config, tools};
use crate::Result;
use crate::folder::Folder;
use crate::process::{Process, SpawnOptions};
use crate::wait::eventually;

/// What stays the same over restarts of the API server.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) folder: Folder,
    pub(super) tools: PathBuf,
    pub(super) tokens: Tokens,
    pub(super) etcd_port: u16,
    pub(super) peer_port: u16,
    pub(super) api_port: u16,
    /// The file of the audit log, if there is one.
    pub(super) audit: Option<PathBuf>,
}

impl Settings {
    pub(super) fn server_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.api_port)
    }

    pub(super) fn spawn(&self, name: &str, args: Vec<String>) -> Result<Process> {
        Process::spawn(SpawnOptions {
            name: name.to_owned(),
            program: tools::tool(&self.tools, name)?,
            args: args.into_iter().map(Into::into).collect(),
            env: vec![("HOME".into(), self.folder.path().into())],
            log: self.folder.join(&format!("{name}.log")),
        })
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    pub(super) fn etcd_args(&self) -> Vec<String> {
        let client = format!("http://127.0.0.1:{}", self.etcd_port);
        let peer = format!("http://127.0.0.1:{}", self.peer_port);
        vec![
            format!("--data-dir={}", self.path("etcd")),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            "--unsafe-no-fsync".to_owned(),
            "--log-level=error".to_owned(),
        ]
    }

    pub(super) fn api_server_args(&self) -> Vec<String> {
        let mut args = vec![
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", self.api_port),
            format!("--cert-dir={}", self.path("pki")),
            format!("--token-auth-file={}", self.path("tokens.csv")),
            "--authorization-mode=RBAC".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", self.path("sa.key")),
            format!("--service-account-signing-key-file={}", self.path("sa.key")),
            "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
            "--disable-admission-plugins=ServiceAccount".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
            "--allow-privileged=true".to_owned(),
        ];
        if let Some(log) = &self.audit {
            args.push(format!("--audit-policy-file={}", self.path("audit-policy.json")));
            args.push(format!("--audit-log-path={}", log.display()));
            // Large enough never to be rotated away under a test.
            args.push("--audit-log-maxsize=4096".to_owned());
        }
        args
    }

    pub(super) fn controller_manager_args(&self) -> Result<Vec<String>> {
        let kubeconfig = self.folder.write_kubeconfig(
            "controller-manager.kubeconfig",
            &self.server_url(),
            "controller-manager",
            &self.tokens.controller_manager,
        )?;
        Ok(vec![
            format!("--kubeconfig={}", kubeconfig.display()),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
            "--controllers=deployment-controller,garbage-collector-controller,namespace-controller,\
             replicaset-controller,serviceaccount-controller"
                .to_owned(),
            format!("--service-account-private-key-file={}", self.path("sa.key")),
        ])
    }

    pub(super) async fn wait_for_etcd(&self, etcd: &Process) -> Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.etcd_port));
        eventually("etcd to listen", READY_DEADLINE, async || {
            if let Err(error) = etcd.check_running() {
                return Ok(Some(Err(error)));
            }
            let connection = TcpStream::connect_timeout(&address, Duration::from_secs(1));
            Ok(connection.ok().map(|_| Ok(())))
        })
        .await?
    }

    /// The API server makes its own certificate at its first start, which its clients trust.
    pub(super) async fn admin_config(&self, api_server: &Process) -> Result<Config> {
        // Written after the certificate: an empty one could be read, too, and a client of it would trust nobody.
        let key = self.folder.join("pki/apiserver.key");
        let server = self.server_url();
        let admin = &self.tokens.admin;
        eventually("the API server's certificate", READY_DEADLINE, async || {
            if let Err(error) = api_server.check_running() {
                return Ok(Some(Err(error)));
            }
            Ok(key.exists().then_some(Ok(())))
        })
        .await??;
        let file = self.folder.write_kubeconfig("admin.kubeconfig", &server, "admin", admin)?;
        read_config(&file).await
    }
}
