package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// event is one request in the API server's audit log.
type event struct {
	Verb, RequestURI string
	User             struct{ Username string }
	ObjectRef        *struct{ Resource, Namespace, Name, APIGroup, Subresource string }
	ResponseStatus   struct{ Code int }
}

// audit is what one user asked the API server for.
func (b *bed) audit(t *testing.T, user string) []event {
	t.Helper()
	log, err := os.Open(filepath.Join(b.dir, "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	var events []event
	lines := bufio.NewScanner(log)
	for lines.Buffer(nil, 4<<20); lines.Scan(); {
		var e event
		// The last line may be half written.
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.User.Username == user {
			events = append(events, e)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return events
}

// allows tells whether a rule is one that a request needs.
func allows(rule rbacv1.PolicyRule, e event) bool {
	if e.ObjectRef == nil {
		return false
	}
	resource := e.ObjectRef.Resource
	if e.ObjectRef.Subresource != "" {
		resource += "/" + e.ObjectRef.Subresource
	}
	return slices.Contains(rule.APIGroups, e.ObjectRef.APIGroup) && slices.Contains(rule.Resources, resource) &&
		slices.Contains(rule.Verbs, e.Verb) && (len(rule.ResourceNames) == 0 || slices.Contains(rule.ResourceNames, e.ObjectRef.Name))
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

func rightsAreUsed(t *testing.T) {
	ofOurs(t)
	b := story(t)
	events := b.audit(t, "system:serviceaccount:"+operator+":"+operator)
	if len(events) < 50 {
		t.Fatalf("the operator made %d requests: is the log about another?", len(events))
	}
	for _, e := range events {
		if e.ResponseStatus.Code == 403 {
			t.Errorf("refused: %s %s", e.Verb, e.RequestURI)
		}
	}
	rules := b.rules(t, operator, operator)
	if len(rules) == 0 {
		t.Fatal("no Role is bound to the operator")
	}
	for _, rule := range rules {
		if slices.Contains(rule.Resources, "secrets") {
			t.Errorf("a Role names Secrets: %v", rule)
		}
		// Its definitions are not on this cluster.
		if slices.Equal(rule.APIGroups, []string{"monitoring.coreos.com"}) {
			continue
		}
		// Only the admission plugin that guards ownerReferences asks for it, and OpenShift alone has that on.
		if slices.Equal(rule.Resources, []string{"stockpipelines/finalizers"}) {
			continue
		}
		if !slices.ContainsFunc(events, func(e event) bool { return allows(rule, e) }) {
			t.Errorf("nobody used the right to %s %s of %q", strings.Join(rule.Verbs, ", "), strings.Join(rule.Resources, ", "), strings.Join(rule.APIGroups, ", "))
		}
	}
	writes := 0
	for _, e := range events {
		if !slices.Contains([]string{"get", "list", "watch"}, e.Verb) {
			writes++
		}
	}
	t.Logf("%d requests of the operator, %d of them writes", len(events), writes)
}
