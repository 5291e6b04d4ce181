//! Where checks run: with a shared secret on the caller's thread, with a public key elsewhere.

mod fixture;

use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, ThreadId};

use fixture::*;
use jsonwebtoken::EncodingKey;
use serde_json::json;
use switchboard_auth::{Algorithm, Clock, Verifier};
use switchboard_core::{ErrorCode, TokenVerifier};
use tokio::runtime::Handle;

/// A clock that notes which threads ask it: the check asks where it runs.
fn noting_clock() -> (Clock, Arc<Mutex<Vec<ThreadId>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&asked);
    let clock: Clock = Arc::new(move || {
        notes
            .lock()
            .expect("no test panics with it")
            .push(thread::current().id());
        NOW_MS
    });
    (clock, asked)
}

fn eddsa(claims: &serde_json::Value) -> String {
    let key = EncodingKey::from_ed_pem(ED_PRIVATE.as_bytes()).expect("a good key");
    token(
        &json!({"alg": "EdDSA"}),
        &claims.to_string(),
        Algorithm::EdDSA,
        &key,
    )
}

fn noted_verifier() -> (Verifier, Arc<Mutex<Vec<ThreadId>>>) {
    let (clock, asked) = noting_clock();
    let keys = vec![
        secret_key(None, &[Algorithm::HS256]),
        public_key(None, &[Algorithm::EdDSA], ED_PUBLIC),
    ];
    (Verifier::new(config(keys), clock), asked)
}

#[tokio::test]
async fn a_public_key_check_leaves_the_callers_thread_and_a_remembered_one_does_not() {
    let (verifier, asked) = noted_verifier();
    let verifier = verifier.with_runtime(Handle::current());
    let here = thread::current().id();
    let token = eddsa(&claims());
    let identity = verifier.verify(&token).await.unwrap();
    assert_eq!(identity.user.as_deref(), Some("alice"));
    let threads = std::mem::take(&mut *asked.lock().unwrap());
    assert!(
        threads.iter().any(|thread| *thread != here),
        "checked on the caller's thread"
    );

    let again = verifier.verify(&token).await.unwrap();
    assert!(Arc::ptr_eq(&identity, &again));
    assert_eq!(
        *asked.lock().unwrap(),
        [here],
        "a remembered token left the caller's thread"
    );
}

#[tokio::test]
async fn a_shared_secret_check_and_a_malformed_token_stay_on_the_callers_thread() {
    let (verifier, asked) = noted_verifier();
    let verifier = verifier.with_runtime(Handle::current());
    assert!(verifier.verify(&hs256(&claims())).await.is_ok());
    assert_eq!(
        verifier.verify("garbage").await.unwrap_err().code,
        ErrorCode::Unauthenticated
    );
    assert_eq!(
        verifier
            .verify(&"a".repeat(8193))
            .await
            .unwrap_err()
            .message,
        "the token has more than 8192 bytes"
    );
    assert!(
        asked
            .lock()
            .unwrap()
            .iter()
            .all(|thread| *thread == thread::current().id())
    );
}

#[tokio::test]
async fn without_a_runtime_all_is_done_on_the_callers_thread() {
    let (verifier, asked) = noted_verifier();
    assert!(verifier.verify(&eddsa(&claims())).await.is_ok());
    assert_eq!(*asked.lock().unwrap(), [thread::current().id()]);
}

#[tokio::test]
async fn many_checks_at_once_all_get_their_answer() {
    let (clock, _hand) = clock(NOW_MS);
    let mut config = config(vec![public_key(None, &[Algorithm::EdDSA], ED_PUBLIC)]);
    config.checks_max = 2;
    let verifier = Verifier::new(config, clock).with_runtime(Handle::current());
    let checks: Vec<_> = (0..50)
        .map(|user| {
            let verifier = verifier.clone();
            let exp = if user % 2 == 0 { NOW + 60 } else { NOW - 60 };
            let token = eddsa(&json!({"sub": user.to_string(), "exp": exp}));
            tokio::spawn(async move { verifier.verify(&token).await })
        })
        .collect();
    for (user, check) in checks.into_iter().enumerate() {
        match check.await.unwrap() {
            Ok(identity) => assert_eq!(identity.user.as_deref(), Some(user.to_string().as_str())),
            Err(error) => assert_eq!((error.code, user % 2), (ErrorCode::TokenExpired, 1)),
        }
    }
    assert_eq!(verifier.cached_len(), 25);
}

/// How many checks are at work: each stops at the gate until it is opened.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    opened: Condvar,
}

#[derive(Default)]
struct GateState {
    inside: usize,
    inside_most: usize,
    open: bool,
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock().expect("no test panics with it");
        state.inside += 1;
        state.inside_most = state.inside_most.max(state.inside);
        while !state.open {
            state = self.opened.wait(state).expect("no test panics with it");
        }
        state.inside -= 1;
    }
}

#[tokio::test]
async fn no_more_checks_run_at_once_than_configured() {
    let gate = Arc::new(Gate::default());
    let (at_gate, caller) = (Arc::clone(&gate), thread::current().id());
    let clock: Clock = Arc::new(move || {
        // The caller's own question is not the check.
        if thread::current().id() != caller {
            at_gate.pass();
        }
        NOW_MS
    });
    let mut config = config(vec![public_key(None, &[Algorithm::EdDSA], ED_PUBLIC)]);
    config.checks_max = 2;
    let verifier = Verifier::new(config, clock).with_runtime(Handle::current());
    let checks: Vec<_> = (0..8)
        .map(|user| {
            let verifier = verifier.clone();
            let token = eddsa(&claims_with(&json!({"sub": user.to_string()})));
            tokio::spawn(async move { verifier.verify(&token).await })
        })
        .collect();
    while gate.state.lock().unwrap().inside < 2 {
        tokio::task::yield_now().await;
    }
    // Whoever else could come in has its chance now; all eight have been asked for.
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    gate.state.lock().unwrap().open = true;
    gate.opened.notify_all();
    for check in checks {
        assert!(check.await.unwrap().is_ok());
    }
    assert_eq!(gate.state.lock().unwrap().inside_most, 2);
}

#[test]
fn a_check_whose_runtime_has_gone_is_unavailable_and_not_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let (clock, _hand) = clock(NOW_MS);
    let keys = vec![public_key(None, &[Algorithm::EdDSA], ED_PUBLIC)];
    let verifier = Verifier::new(config(keys), clock).with_runtime(runtime.handle().clone());
    drop(runtime);
    let asking = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let error = asking
        .block_on(verifier.verify(&eddsa(&claims())))
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable);
}
