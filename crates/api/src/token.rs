//! TokenService: tokens for clients, never for more than the caller may itself, and their withdrawal.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use switchboard_auth::{Caller, IssueRequest, Scope};
use switchboard_core::revocation::REVOCATION_KEEP;
use switchboard_core::{ChannelPattern, ClientError, ErrorCode, Grants, RevokedTokens};
use switchboard_proto::api::v1;
use switchboard_proto::api::v1::revoke_tokens_request::Tokens;
use switchboard_proto::api::v1::token_service_server::TokenService;
use tonic::{Request, Response, Status};

use crate::access::{caller, covers, sees};
use crate::service::Service;
use crate::status::{not_configured, refused, status};
use crate::{decode, encode};

#[tonic::async_trait]
impl TokenService for Service {
    async fn issue_token(
        &self,
        request: Request<v1::IssueTokenRequest>,
    ) -> Result<Response<v1::IssueTokenResponse>, Status> {
        let caller = caller(&request, Scope::Tokens)?;
        let issuer = self.issuer.as_ref().map(Arc::clone).ok_or_else(|| {
            not_configured("this hub has no key to sign with: configure a token key that has its secret or private part")
        })?;
        let asked = request.into_inner();
        let wire = asked.grants.unwrap_or_default();
        let request = IssueRequest {
            user: text(asked.user),
            ttl: (asked.ttl_seconds > 0).then(|| Duration::from_secs(asked.ttl_seconds.into())),
            info: info(&wire.info).map_err(status)?,
            grants: grants(&caller, &wire).map_err(status)?,
            audience: text(asked.audience),
        };
        // A signature may take a millisecond, as with RSA: not on a thread that others wait for.
        let issued = tokio::task::spawn_blocking(move || issuer.issue(&request))
            .await
            .map_err(|_| refused(ErrorCode::Internal, "the token could not be signed"))?
            .map_err(|error| status(error.into()))?;
        Ok(Response::new(v1::IssueTokenResponse {
            token: issued.token,
            expires_ms: encode::time_ms(issued.expires_at_ms),
        }))
    }

    async fn revoke_tokens(
        &self,
        request: Request<v1::RevokeTokensRequest>,
    ) -> Result<Response<v1::RevokeTokensResponse>, Status> {
        caller(&request, Scope::Tokens)?;
        let tokens = request.get_ref().tokens.as_ref();
        if tokens.is_some_and(|tokens| matches!(tokens, Tokens::Everybody(_))) {
            caller(&request, Scope::Admin)?;
        }
        let asked = request.into_inner();
        let tokens = revoked(asked.tokens).map_err(status)?;
        let before_ms = u64::try_from(asked.issued_before_ms)
            .map_err(|_| status(decode::bad_request("`issued_before_ms` is negative")))?;
        let keep = match asked.keep_seconds {
            0 => REVOCATION_KEEP,
            seconds => Duration::from_secs(seconds.into()),
        };
        self.node
            .revoke(tokens, (before_ms > 0).then_some(before_ms), keep)
            .await
            .map_err(status)?;
        Ok(Response::new(v1::RevokeTokensResponse {}))
    }
}

fn revoked(tokens: Option<Tokens>) -> Result<RevokedTokens, ClientError> {
    match tokens {
        Some(Tokens::User(user)) => Ok(RevokedTokens::User(decode::user(&user)?)),
        Some(Tokens::TokenId(id)) if !id.is_empty() => Ok(RevokedTokens::Token(id.into())),
        Some(Tokens::Everybody(true)) => Ok(RevokedTokens::All),
        _ => Err(decode::bad_request(
            "no tokens are named: set `user`, `token_id` or `everybody`",
        )),
    }
}

fn text(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn info(bytes: &Bytes) -> Result<Option<String>, ClientError> {
    let text = std::str::from_utf8(bytes).map_err(|_| decode::bad_request("`info` is no UTF-8"))?;
    Ok(self::text(text.to_owned()))
}

fn grants(caller: &Caller, wire: &v1::Grants) -> Result<Grants, ClientError> {
    let mut channels = Vec::with_capacity(wire.channels.len());
    for name in &wire.channels {
        let channel = decode::channel(name)?;
        if !sees(caller, &channel) {
            return Err(too_much(caller, "channels", name));
        }
        channels.push(channel);
    }
    Ok(Grants {
        subscribe: patterns(caller, "subscribe", &wire.subscribe)?,
        publish: patterns(caller, "publish", &wire.publish)?,
        presence: patterns(caller, "presence", &wire.presence)?,
        history: patterns(caller, "history", &wire.history)?,
        channels,
    })
}

fn patterns(
    caller: &Caller,
    field: &str,
    texts: &[String],
) -> Result<Vec<ChannelPattern>, ClientError> {
    let parse = |text: &String| {
        let pattern = decode::pattern(field, text)?;
        if covers(caller, &pattern) {
            Ok(pattern)
        } else {
            Err(too_much(caller, field, text))
        }
    };
    texts.iter().map(parse).collect()
}

fn too_much(caller: &Caller, field: &str, text: &str) -> ClientError {
    let message = format!(
        "API key {:?} has no channel pattern that covers `{text}` of `{field}`",
        caller.name
    );
    ClientError::new(ErrorCode::PermissionDenied, message)
}
