package cloud

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/cluster-api/util/conditions"
	ctrl "sigs.k8s.io/controller-runtime"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	"magalu.cloud/mke/internal/mgc"
)

const (
	// slowRetry is for errors that only a person or a changed Secret can cure.
	slowRetry = time.Minute
	// rateLimitRetry is used where the cloud does not say how long to wait.
	rateLimitRetry = 5 * time.Second
	// conflictRetry is for objects on which something else is under way.
	conflictRetry = 500 * time.Millisecond
)

// firstPoll and lastPoll are the shortest and the longest pause between two looks at something under way in the cloud.
const (
	firstPoll = 50 * time.Millisecond
	lastPoll  = 2 * time.Second
	// pollSpacing bounds the looks of all objects together to 200 a second: a thousand VMs that boot at once are looked at every 5 s each.
	pollSpacing = 5 * time.Millisecond
)

// Poller spaces the looks at asynchronous cloud objects, for which there is no event. Each pause is a little longer than the one
// before, about a quarter of the time waited so far: so little is lost, whether the cloud needs a tenth of a second or a minute.
type Poller struct {
	mu     sync.Mutex
	pauses map[ctrl.Request]time.Duration
}

// NewPoller returns a Poller.
func NewPoller() *Poller { return &Poller{pauses: map[ctrl.Request]time.Duration{}} }

// Next returns when to look again; without waiting, the next wait starts quick again.
func (p *Poller) Next(req ctrl.Request, waiting bool) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !waiting {
		delete(p.pauses, req)
		return 0
	}
	p.pauses[req] = min(max(p.pauses[req]*5/4, firstPoll), lastPoll)
	return max(p.pauses[req], time.Duration(len(p.pauses))*pollSpacing)
}

// NewRateLimiter spaces the retries after errors, per object.
func NewRateLimiter() workqueue.TypedRateLimiter[ctrl.Request] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[ctrl.Request](250*time.Millisecond, 10*time.Second)
}

// CredentialsError is a credentials Secret that is missing or not usable.
type CredentialsError struct{ Reason string }

func (e *CredentialsError) Error() string { return e.Reason }

// Outcome turns a reconcile's result and error into the object's CloudReachable condition and the time of the next try. Errors
// come back only where the controller's own backoff is right for them.
func Outcome(obj conditions.Setter, result ctrl.Result, err error) (ctrl.Result, error) {
	var credentials *CredentialsError
	switch {
	case err == nil:
		setReachable(obj, metav1.ConditionTrue, "Reachable", "")
		return result, nil
	case errors.As(err, &credentials):
		setReachable(obj, metav1.ConditionFalse, "CredentialsMissing", credentials.Reason)
		return ctrl.Result{RequeueAfter: slowRetry}, nil
	case mgc.IsUnauthorized(err):
		setReachable(obj, metav1.ConditionFalse, "Unauthorized", "the cloud refuses the cluster's API key: "+Message(err))
		return ctrl.Result{RequeueAfter: slowRetry}, nil
	case mgc.IsRateLimited(err):
		setReachable(obj, metav1.ConditionFalse, "RateLimited", "waiting for the cloud: "+Message(err))
		return ctrl.Result{RequeueAfter: max(mgc.RetryAfter(err), rateLimitRetry)}, nil
	case mgc.IsTransient(err):
		setReachable(obj, metav1.ConditionFalse, "Unavailable", "waiting for the cloud: "+Message(err))
		return ctrl.Result{}, err
	case mgc.IsConflict(err):
		setReachable(obj, metav1.ConditionTrue, "Reachable", "")
		return ctrl.Result{RequeueAfter: conflictRetry}, nil
	case mgc.IsInvalid(err) || mgc.IsNotFound(err):
		setReachable(obj, metav1.ConditionTrue, "Reachable", "")
		return ctrl.Result{RequeueAfter: slowRetry}, nil
	}
	return ctrl.Result{}, err
}

func setReachable(obj conditions.Setter, status metav1.ConditionStatus, reason, message string) {
	conditions.Set(obj, metav1.Condition{Type: infrav1.CloudReachableCondition, Status: status, Reason: reason, Message: message})
}

// Message says for people what the cloud answered, without paths and types.
func Message(err error) string {
	var e *mgc.Error
	switch {
	case errors.As(err, &e):
		if e.Message == http.StatusText(e.StatusCode) {
			return fmt.Sprintf("%d %s", e.StatusCode, e.Message)
		}
		return fmt.Sprintf("%d %s: %s", e.StatusCode, http.StatusText(e.StatusCode), e.Message)
	case errors.Is(err, context.DeadlineExceeded):
		return "it does not answer in time"
	case mgc.IsTransient(err):
		return "it cannot be reached"
	}
	return err.Error()
}

// Immediately is a requeue time: at once if needed, else none.
func Immediately(needed bool) time.Duration {
	if needed {
		return time.Millisecond
	}
	return 0
}
