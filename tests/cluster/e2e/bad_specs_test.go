package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

// controlPlane is an API server without nodes that serves StockPipelines, which
// nobody runs.
func controlPlane(t *testing.T) *bed {
	t.Helper()
	b, err := up("--control-plane-only")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root(), "crds", "yaml", "stockpipelines.stockpipe.dev.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	definition := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(text, &definition.Object); err != nil {
		t.Fatal(err)
	}
	if _, err := b.dyn.Resource(definitions).Create(context.Background(), definition, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	b.awaitOne(t, time.Minute, "the definition is established", definitions, "", definition.GetName(), hasCondition("Established", "True"))
	return b
}

// table reads one of the tables that crds' own tests hold the offline check to.
func table(t *testing.T, file string, rows any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(), "crds", file))
	if err == nil {
		err = yaml.UnmarshalStrict(text, rows)
	}
	if err != nil {
		t.Fatalf("crds/%s: %v", file, err)
	}
}

// request is one about StockPipelines whose body is YAML, as kubectl sends it:
// an unknown or a doubled field is refused, not dropped.
func (b *bed) request(verb, name string, body []byte) *rest.Request {
	path := "/apis/" + group + "/" + pipelines.Version + "/namespaces/default/" + pipelines.Resource
	return b.kube.RESTClient().Verb(verb).AbsPath(path, name).Param("fieldValidation", "Strict").
		SetHeader("Content-Type", "application/yaml").Body(body)
}

// said is what the API server answers a person; empty where it took the object.
func said(r rest.Result) string {
	var status *apierrors.StatusError
	err := r.Error()
	if errors.As(err, &status) {
		return status.ErrStatus.Message
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// says tells whether an answer has a sentence of the tables: the path of a field,
// and a clause about it, which CEL's answer puts apart.
func says(answer, sentence string) bool {
	path, clause, _ := strings.Cut(sentence, " ")
	return strings.Contains(answer, path) && strings.Contains(answer, clause)
}

// ofDocuments are the faults that are of no field, and what the API server says of them.
var ofDocuments = map[string]string{
	"other kind":    "the API version in the data (v1) does not match",
	"other version": `StockPipeline in version "v2" cannot be handled`,
	"key twice":     `key "lake" already set in map`,
}

func TestTheAPIServerRefusesEachBadSpecWithItsSentence(t *testing.T) {
	b := controlPlane(t)
	var rows []struct{ Name, RefusedBy, Message, YAML string }
	table(t, "bad_specs.yaml", &rows)
	counted := map[string]int{}
	for _, row := range rows {
		t.Run(row.Name, func(t *testing.T) {
			// A file of two documents is kubectl's to take apart.
			documents := bytes.Split([]byte(row.YAML), []byte("\n---\n"))
			answer := said(b.request("POST", "", documents[0]).Param("dryRun", "All").Do(context.Background()))
			counted[row.RefusedBy]++
			switch row.RefusedBy {
			case "rule":
				if !says(answer, row.Message) {
					t.Errorf("answers %q\nwant %q", answer, row.Message)
				}
			case "worker":
				if answer != "" {
					t.Errorf("refuses what only workers can: %q", answer)
				}
			case "schema":
				if len(documents) > 1 {
					break
				}
				// The schema's words are the API server's own; they are about the field that our sentence names.
				about, ofDocument := ofDocuments[row.Name]
				if !ofDocument {
					about, _, _ = strings.Cut(row.Message, " ")
				}
				// Of a key that stands twice in a list it names the entry.
				entry := about[:strings.LastIndex(about, "]")+1]
				if !strings.Contains(answer, about) && (entry == "" || !strings.Contains(answer, entry)) {
					t.Errorf("answers %q\nwant something of %s", answer, about)
				}
			default:
				t.Errorf("refusedBy %q is not known", row.RefusedBy)
			}
		})
	}
	if counted["rule"] < 50 || counted["schema"] < 25 || counted["worker"] < 10 {
		t.Errorf("the table has lost rows: %v", counted)
	}
}

func TestTheAPIServerJudgesEachChangeOfASpec(t *testing.T) {
	b := controlPlane(t)
	var rows []struct{ Name, Message, Old, New string }
	table(t, "bad_updates.yaml", &rows)
	ctx := context.Background()
	c := b.dyn.Resource(pipelines).Namespace("default")
	refused := 0
	for _, row := range rows {
		t.Run(row.Name, func(t *testing.T) {
			o := &unstructured.Unstructured{}
			o.SetAPIVersion(group + "/" + pipelines.Version)
			o.SetKind("StockPipeline")
			o.SetName("us-equities")
			spec := func(text string) any {
				var spec map[string]any
				if err := yaml.Unmarshal([]byte(text), &spec); err != nil {
					t.Fatal(err)
				}
				return spec
			}
			o.Object["spec"] = spec(row.Old)
			made, err := c.Create(ctx, o, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				uid := made.GetUID()
				if err := c.Delete(ctx, made.GetName(), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: (*types.UID)(&uid)}}); err != nil {
					t.Error(err)
				}
			}()
			changed := made.DeepCopy()
			changed.Object["spec"] = spec(row.New)
			text, err := yaml.Marshal(changed.Object)
			if err != nil {
				t.Fatal(err)
			}
			answer := said(b.request("PUT", made.GetName(), text).Do(ctx))
			if row.Message == "" && answer != "" {
				t.Errorf("refuses: %q", answer)
			} else if !says(answer, row.Message) {
				t.Errorf("answers %q\nwant %q", answer, row.Message)
			}
			if row.Message != "" {
				refused++
			}
		})
	}
	if refused < 10 {
		t.Errorf("only %d rows are refusals: the table has lost some", refused)
	}
}
