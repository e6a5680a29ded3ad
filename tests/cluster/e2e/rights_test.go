package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// event is one request in the API server's audit log.
type event struct {
	Verb, RequestURI string
	User             struct{ Username string }
	ObjectRef        *struct{ Resource, Namespace, Name, APIGroup, Subresource string }
	ResponseStatus   struct {
		Code    int
		Message string
	}
	SourceIPs []string

	RequestReceivedTimestamp time.Time
}

// writing are the verbs that change something.
var writing = []string{"create", "update", "patch", "delete", "deletecollection"}

// eachEvent tells all that the API server was asked for.
func (b *bed) eachEvent(t *testing.T, tell func(event)) {
	t.Helper()
	log, err := os.Open(filepath.Join(b.dir, "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	lines := bufio.NewScanner(log)
	for lines.Buffer(nil, 4<<20); lines.Scan(); {
		var e event
		// The last line may be half written.
		if json.Unmarshal(lines.Bytes(), &e) == nil {
			tell(e)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}

// audit is what one user asked the API server for.
func (b *bed) audit(t *testing.T, user string) []event {
	t.Helper()
	var events []event
	b.eachEvent(t, func(e event) {
		if e.User.Username == user {
			events = append(events, e)
		}
	})
	return events
}

// uses tells whether a request needs the right to a verb on a resource. An apply that makes an object needs two.
func uses(e event, rule rbacv1.PolicyRule, resource, verb string) bool {
	if e.ObjectRef == nil {
		return false
	}
	of := e.ObjectRef.Resource
	if e.ObjectRef.Subresource != "" {
		of += "/" + e.ObjectRef.Subresource
	}
	made := verb == "create" && e.Verb == "patch" && e.ResponseStatus.Code == http.StatusCreated
	return of == resource && (e.Verb == verb || made) && slices.Contains(rule.APIGroups, e.ObjectRef.APIGroup) &&
		(len(rule.ResourceNames) == 0 || slices.Contains(rule.ResourceNames, e.ObjectRef.Name))
}

// unusable are rights that the operator needs and no story can have it use.
var unusable = map[string]string{
	"update stockpipelines/finalizers": "the API server asks itself, as here, where the admission plugin that guards ownerReferences is on; no audit log shows it",
	"delete networkpolicies":           "each pipeline has one for as long as it lives: only that of an earlier version could be one too many",
	"delete poddisruptionbudgets":      "as above",
}

// rules are what a service account may do, by Roles and ClusterRoles bound to it.
func (b *bed) rules(t *testing.T, namespace, account string) []rbacv1.PolicyRule {
	t.Helper()
	ctx, rbac := context.Background(), b.kube.RbacV1()
	var rules []rbacv1.PolicyRule
	add := func(subjects []rbacv1.Subject, ref rbacv1.RoleRef, in string) {
		if !slices.ContainsFunc(subjects, func(s rbacv1.Subject) bool {
			return s.Kind == rbacv1.ServiceAccountKind && s.Namespace == namespace && s.Name == account
		}) {
			return
		}
		if ref.Kind == "Role" {
			role, err := rbac.Roles(in).Get(ctx, ref.Name, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			rules = append(rules, role.Rules...)
			return
		}
		role, err := rbac.ClusterRoles().Get(ctx, ref.Name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		rules = append(rules, role.Rules...)
	}
	bindings, err := rbac.RoleBindings("").List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, binding := range bindings.Items {
		add(binding.Subjects, binding.RoleRef, binding.Namespace)
	}
	everywhere, err := rbac.ClusterRoleBindings().List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, binding := range everywhere.Items {
		add(binding.Subjects, binding.RoleRef, "")
	}
	return rules
}

// installs are the operators that the stories install, by their service accounts.
var installs = map[string]string{
	operator:           "system:serviceaccount:" + operator + ":" + operator,
	"stockpipe-team":   "system:serviceaccount:stockpipe-team:team-stockpipe",
	"stockpipe-second": "system:serviceaccount:stockpipe-second:second-stockpipe",
}

// refused asserts that an install was refused nothing, but what Kubernetes takes from under it: in a namespace that is
// being deleted nothing can be made, and the Role in it goes; and an uninstall takes the bindings before the pods end.
func (b *bed) refused(t *testing.T, install, user string) (requests int) {
	t.Helper()
	gone := map[string]time.Time{}
	var uninstalled time.Time
	b.eachEvent(t, func(e event) {
		if e.Verb != "delete" || e.ObjectRef == nil || strings.HasPrefix(e.User.Username, "system:serviceaccount:") {
			return
		}
		switch {
		case e.ObjectRef.Resource == "namespaces":
			gone[e.ObjectRef.Name] = e.RequestReceivedTimestamp
		case install != operator && uninstalled.IsZero() && e.ObjectRef.Resource == "rolebindings" &&
			(e.ObjectRef.Namespace == install || strings.Contains(e.ObjectRef.Name, "."+install+".")):
			uninstalled = e.RequestReceivedTimestamp
		}
	})
	ending := 0
	for _, e := range b.audit(t, user) {
		requests++
		if e.ResponseStatus.Code != http.StatusForbidden {
			continue
		}
		at := e.RequestReceivedTimestamp
		deleted, is := gone[namespaceOf(e)]
		if is && at.After(deleted) || !uninstalled.IsZero() && at.After(uninstalled) {
			ending++
			continue
		}
		t.Errorf("%s was refused: %s %s: %s", user, e.Verb, e.RequestURI, e.ResponseStatus.Message)
	}
	// A look now and then, and no loop.
	if ending > 100 {
		t.Errorf("the install in %s went on asking, and was refused %d times as its namespace, or it, was being taken away", install, ending)
	}
	if ending > 0 {
		note("requests of the install in %s that were refused as its namespace, or it, was being taken away: %d", install, ending)
	}
	return requests
}

func namespaceOf(e event) string {
	if e.ObjectRef == nil {
		return ""
	}
	return e.ObjectRef.Namespace
}

func rightsAreUsed(t *testing.T) {
	var events []event
	var rules []rbacv1.PolicyRule
	requests := map[string]int{}
	for _, b := range beds() {
		b.ours(t)
		for install, user := range installs {
			requests[install] += b.refused(t, install, user)
		}
		events = append(events, b.audit(t, installs[operator])...)
		rules = b.rules(t, operator, operator)
		b.restricted(t)
	}
	for install, n := range requests {
		if n < 50 {
			t.Errorf("the install in %s made %d requests: were all stories told before?", install, n)
		}
	}
	if len(rules) == 0 {
		t.Fatal("no Role is bound to the operator")
	}
	for _, rule := range rules {
		for _, resource := range rule.Resources {
			for _, verb := range rule.Verbs {
				right := verb + " " + resource
				used := slices.ContainsFunc(events, func(e event) bool { return uses(e, rule, resource, verb) })
				why, excused := unusable[right]
				switch {
				case resource == "secrets" || verb == "*" || resource == "*":
					t.Errorf("a Role has the right to %s", right)
				case !used && !excused:
					t.Errorf("nobody used the right to %s of %q: let a story use it, or take it from the Role", right, rule.APIGroups)
				case used && excused:
					t.Errorf("somebody used the right to %s, which cannot be used as %s", right, why)
				}
			}
		}
	}
	writes := 0
	for _, e := range events {
		if slices.Contains(writing, e.Verb) {
			writes++
		}
	}
	note("requests of the operator: %d, of them writes: %d", len(events), writes)
}

// restricted asserts that Pod Security's "restricted" is enforced wherever pods run, but for Kubernetes' own.
func (b *bed) restricted(t *testing.T) {
	t.Helper()
	ctx := context.Background()
	list, err := b.kube.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{"kube-system": true}
	for _, pod := range list.Items {
		if seen[pod.Namespace] {
			continue
		}
		seen[pod.Namespace] = true
		n, err := b.kube.CoreV1().Namespaces().Get(ctx, pod.Namespace, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if n.Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
			t.Errorf("pods run in %s, which enforces %q", n.Name, n.Labels["pod-security.kubernetes.io/enforce"])
		}
	}
}
