//! Nothing is written once the lease may be another's: from then on every
//! request that changes something is refused, and one that is under way is given
//! up. It sits in the client, so that no write goes past it.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures::future::BoxFuture;
use hyper::{Method, Request};
use tokio::sync::watch;
use tower::{BoxError, Layer, Service};

/// What is written without the lease: the lease itself, and questions that are
/// asked by a POST.
const FREE: [&str; 2] = ["/apis/coordination.k8s.io/", "/apis/authorization.k8s.io/"];

/// Until when this process may write.
#[derive(Clone, Debug)]
pub struct Fence {
    until: Arc<watch::Sender<Option<Instant>>>,
}

/// A write that came too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lease is not this process's, so nothing is written")]
pub struct Fenced;

impl Default for Fence {
    fn default() -> Self {
        Self {
            until: Arc::new(watch::Sender::new(None)),
        }
    }
}

impl Fence {
    /// Writes pass until then.
    pub fn open_until(&self, at: Instant) {
        self.until.send_replace(Some(at));
    }

    /// No write passes any more.
    pub fn close(&self) {
        self.until.send_replace(None);
    }

    /// Whether a write passes now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.until
            .borrow()
            .is_some_and(|until| Instant::now() < until)
    }

    /// Waits until no write passes any more; a renewal makes that later.
    async fn closed(mut until: watch::Receiver<Option<Instant>>) {
        loop {
            let open = *until.borrow_and_update();
            let Some(open) = open.filter(|open| Instant::now() < *open) else {
                return;
            };
            tokio::select! {
                () = tokio::time::sleep_until(open.into()) => {}
                changed = until.changed() => if changed.is_err() { return },
            }
        }
    }
}

fn is_guarded<B>(request: &Request<B>) -> bool {
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS];
    let path = request.uri().path();
    !reads.contains(request.method()) && !FREE.iter().any(|free| path.starts_with(free))
}

impl<S> Layer<S> for Fence {
    type Service = FencedService<S>;

    fn layer(&self, inner: S) -> FencedService<S> {
        FencedService {
            inner,
            fence: self.clone(),
        }
    }
}

/// A client's service behind the fence.
#[derive(Clone, Debug)]
pub struct FencedService<S> {
    inner: S,
    fence: Fence,
}

impl<S, B> Service<Request<B>> for FencedService<S>
where
    S: Service<Request<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let guarded = is_guarded(&request);
        if guarded && !self.fence.is_open() {
            return Box::pin(async { Err(Fenced.into()) });
        }
        let answer = self.inner.call(request);
        let until = self.fence.until.subscribe();
        Box::pin(async move {
            if !guarded {
                return answer.await.map_err(Into::into);
            }
            tokio::select! {
                answer = answer => answer.map_err(Into::into),
                // Dropping the request closes its stream; a server that has not begun does not.
                () = Fence::closed(until) => Err(Fenced.into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;
    use tower::ServiceExt;

    const STATUS: &str = "/apis/stockpipe.dev/v1alpha1/namespaces/a/stockpipelines/b/status";
    const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/a/leases/b";
    const REVIEW: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

    /// A server that counts what reaches it, and answers after `wait`.
    async fn ask(
        fence: &Fence,
        wait: Duration,
        reached: &Arc<AtomicU32>,
        method: Method,
        path: &str,
    ) -> Result<(), BoxError> {
        let reached = reached.clone();
        let server = tower::service_fn(move |_: Request<()>| {
            reached.fetch_add(1, Ordering::Relaxed);
            async move {
                tokio::time::sleep(wait).await;
                Ok::<_, BoxError>(())
            }
        });
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(())
            .unwrap();
        fence.layer(server).oneshot(request).await
    }

    #[tokio::test]
    async fn without_the_lease_nothing_is_changed_and_everything_is_read() {
        let (fence, reached) = (Fence::default(), Arc::default());
        let at_once = Duration::ZERO;
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let refused = ask(&fence, at_once, &reached, method, STATUS).await;
            assert!(refused.unwrap_err().is::<Fenced>());
        }
        assert_eq!(reached.load(Ordering::Relaxed), 0);
        for (method, path) in [
            (Method::GET, STATUS),
            (Method::POST, LEASE),
            (Method::PUT, LEASE),
            (Method::POST, REVIEW),
        ] {
            ask(&fence, at_once, &reached, method, path).await.unwrap();
        }
        fence.open_until(Instant::now() + Duration::from_secs(60));
        ask(&fence, at_once, &reached, Method::PATCH, STATUS)
            .await
            .unwrap();
        fence.close();
        let refused = ask(&fence, at_once, &reached, Method::PATCH, STATUS).await;
        assert!(refused.unwrap_err().is::<Fenced>());
        assert_eq!(reached.load(Ordering::Relaxed), 5);
    }

    #[tokio::test]
    async fn a_write_that_is_under_way_is_given_up_when_the_lease_runs_out() {
        let (fence, reached) = (Fence::default(), Arc::default());
        fence.open_until(Instant::now() + Duration::from_millis(50));
        let hour = Duration::from_secs(3_600);
        let given_up = ask(&fence, hour, &reached, Method::PATCH, STATUS).await;
        assert!(given_up.unwrap_err().is::<Fenced>());
        assert_eq!(reached.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_renewal_lets_a_write_go_on() {
        let (fence, reached) = (Fence::default(), Arc::default());
        fence.open_until(Instant::now() + Duration::from_millis(50));
        let renewed = fence.clone();
        tokio::spawn(async move { renewed.open_until(Instant::now() + Duration::from_secs(60)) });
        let slow = Duration::from_millis(150);
        ask(&fence, slow, &reached, Method::PATCH, STATUS)
            .await
            .unwrap();
    }
}
