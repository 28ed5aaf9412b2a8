//! One SASL exchange: the only place where what is spoken and what is decided meet.

use std::time::{Duration, Instant};

use auth::attempt::Attempt;
use auth::mechanism::{self, Claim, Step};
use auth::request::Secret;
use auth::trace::Reason;
use auth::verdict::{Decision, Verdict};
use secrecy::ExposeSecret;
use wire::{Farewell, Response};

use super::{End, LOGIN_TIMEOUT, Line, Session};
use crate::gate::Gate;

impl Session {
    /// Runs a mechanism to its end. Gives back the typed password too, for whoever the login is
    /// handed on to.
    pub(super) async fn login(
        &mut self,
        line: &mut Line,
        mechanism: &'static str,
        initial: Option<Secret>,
    ) -> Result<(Decision, Option<Secret>), End> {
        let deciding = self.connection.deciding();
        let attempt = deciding.engine.attempt(self.connection.facts(mechanism));
        let Some(row) = mechanism::find(mechanism) else {
            return Ok((attempt.refuse(Reason::BadResponse), None));
        };
        let mut exchange = (row.begin)();
        let mut step = exchange.step(initial.as_ref().map(|secret| secret.expose_secret()));
        loop {
            step = match step {
                Step::Challenge(challenge) => match self.ask(line, &challenge).await? {
                    Response::Data(data) => exchange.step(Some(data.expose_secret())),
                    Response::Abort | Response::Malformed => {
                        return Ok((without_delay(attempt.refuse(Reason::Aborted)), None));
                    }
                    Response::Fault(fault) => return Err(End::Fault(fault)),
                },
                Step::Verify(claim, secret) => {
                    let typed = secret.clone();
                    return Ok((
                        decide(self.connection.gate(), attempt, claim, secret, true).await,
                        Some(typed),
                    ));
                }
                Step::Failed(reason) => return Ok((attempt.refuse(reason), None)),
            };
        }
    }

    /// Sends a challenge and waits for its reply.
    async fn ask(&mut self, line: &mut Line, challenge: &[u8]) -> Result<Response, End> {
        line.front.challenge(challenge);
        self.deadline = tokio::time::Instant::now() + LOGIN_TIMEOUT;
        loop {
            if let Some(response) = line.front.response() {
                return Ok(response);
            }
            self.more(line, Farewell::InactivityInLogin).await?;
        }
    }
}

/// Decides one login whose password is known: with `penalty`, waits as long as the address has to,
/// and remembers a failure.
pub async fn decide(
    gate: &Gate,
    attempt: Attempt<'_>,
    claim: Claim,
    secret: Secret,
    penalty: bool,
) -> Decision {
    if !(penalty && gate.penalty) {
        return attempt.verify(claim, secret).await;
    }
    let (shared, address) = (&gate.shared, attempt.facts().peer.remote);
    let asked = shared.started.elapsed();
    let wait = shared.penalties().wait(address, asked);
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    let (user, password) = (claim.user.clone(), secret.clone());
    let decision = attempt.verify(claim, secret).await;
    if decision.authenticated {
        shared.penalties().succeeded(address);
    } else if is_guess(&decision) {
        let mut penalties = shared.penalties();
        let guess = penalties.fingerprint(&user, password.expose_secret());
        penalties.failed(address, guess, asked, shared.started.elapsed());
    }
    decision
}

/// Whether a refusal may have been a guess. A fault of ours never makes an address wait.
fn is_guess(decision: &Decision) -> bool {
    match &decision.verdict {
        Verdict::Refuse(refusal) => matches!(
            refusal.reason,
            Reason::UnknownUser
                | Reason::WrongPassword
                | Reason::NoPassword
                | Reason::Fail
                | Reason::AllowNets
                | Reason::Denied
                | Reason::Disabled
                | Reason::ChainRule
                | Reason::BadUsername
                | Reason::BadPassword
                | Reason::NoMaster
                | Reason::NotAuthorized
        ),
        Verdict::Admit(_) | Verdict::Proxy(_) | Verdict::Refer(_) => false,
    }
}

/// A client that cancelled is not made to wait.
fn without_delay(decision: Decision) -> Decision {
    Decision { wait: Duration::ZERO, ..decision }
}

/// Seconds since then as `0.012`, for the log.
pub fn seconds(since: Instant) -> String {
    let elapsed = since.elapsed();
    format!("{}.{:03}", elapsed.as_secs(), elapsed.subsec_millis())
}
