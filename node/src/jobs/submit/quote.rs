//! What the stages of a route offer for a job, without ordering it.
//!
//! The same offers that an order would collect, checked in the same way. A
//! stage keeps a place for each while the stream is open; it ends here.

use super::{JobRequest, ask_offer, check_request, connect, errors, is_free};
use crate::api::AskError;
use crate::data::plane::{DataPlane, Host};
use futures::future::try_join_all;
use std::sync::Arc;
use talkoot_protocol::{Offer, Verified};

/// The stages' offers, in the order of the route; none for a job that costs
/// nothing.
///
/// # Errors
/// [`AskError`], as [`super::submit`] before its order.
pub async fn quote(
    data: &DataPlane,
    request: JobRequest,
) -> Result<Option<Vec<Verified<Offer>>>, AskError> {
    let host = Arc::clone(data.host());
    let collected = data.spawn(async move { collect(&host, &request).await });
    collected.await.map_err(|_| errors::gone())?
}

async fn collect(
    host: &Host,
    request: &JobRequest,
) -> Result<Option<Vec<Verified<Offer>>>, AskError> {
    check_request(request)?;
    if is_free(host, request) {
        return Ok(None);
    }
    let asked = request.route.iter().map(|stage| async {
        let mut link = connect(host, stage.clone()).await?;
        ask_offer(host, request, &mut link).await
    });
    try_join_all(asked).await.map(Some)
}
