package cibxml

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/quorate/quorate/crm/cib"
)

// shared returns a path below the documents beside the repository, or skips the test.
func shared(t testing.TB, parts ...string) string {
	t.Helper()
	path := filepath.Join(append([]string{"..", "..", "..", "..", "shared"}, parts...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("skipped: %s is not here", path)
	}
	return path
}

// corpus calls run for each document of the scheduler corpus.
func corpus(t *testing.T, run func(t *testing.T, data []byte)) {
	files, err := filepath.Glob(filepath.Join(shared(t, "conformance", "scheduler", "xml"), "*.xml"))
	if err != nil || len(files) == 0 {
		t.Skip("skipped: the scheduler corpus is empty")
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".xml"), func(t *testing.T) {
			t.Parallel()
			run(t, data)
		})
	}
}

// TestCorpus_RoundTrip reads every document of the corpus, writes it and reads it again: both readings are
// equal, writing is stable, and only the elements that no schema knows are reported.
func TestCorpus_RoundTrip(t *testing.T) {
	t.Parallel()
	corpus(t, func(t *testing.T, data []byte) {
		doc, problems, err := Read(data)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Log(p)
		}
		text := Write(doc, Options{})
		again, _, err := Read(text)
		if err != nil {
			t.Fatalf("reading what was written: %v", err)
		}
		if twice := Write(again, Options{}); !bytes.Equal(twice, text) {
			t.Error("Write(Read(Write(doc))) differs from Write(doc)")
		}
		doc, again = cib.WithoutPositions(doc), cib.WithoutPositions(again)
		if !reflect.DeepEqual(doc, again) {
			t.Errorf("Read(Write(doc)) differs from doc: %s", difference(reflect.ValueOf(doc).Elem(), reflect.ValueOf(again).Elem(), "doc"))
		}
	})
}

// difference names the first place where two values differ.
func difference(a, b reflect.Value, path string) string {
	if reflect.DeepEqual(a.Interface(), b.Interface()) {
		return ""
	}
	switch a.Kind() {
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			return fmt.Sprintf("%s: nil %v, %v", path, a.IsNil(), b.IsNil())
		}
		return difference(a.Elem(), b.Elem(), path)
	case reflect.Struct:
		for i := range a.NumField() {
			if d := difference(a.Field(i), b.Field(i), path+"."+a.Type().Field(i).Name); d != "" {
				return d
			}
		}
	case reflect.Slice:
		if a.Len() != b.Len() || a.IsNil() != b.IsNil() {
			return fmt.Sprintf("%s: %d and %d elements, nil %v and %v", path, a.Len(), b.Len(), a.IsNil(), b.IsNil())
		}
		for i := range a.Len() {
			if d := difference(a.Index(i), b.Index(i), fmt.Sprintf("%s[%d]", path, i)); d != "" {
				return d
			}
		}
	}
	return fmt.Sprintf("%s: %v, %v", path, a.Interface(), b.Interface())
}

// generated returns a document of the shared generator.
func generated(t testing.TB, nodes, resources int, state string) []byte {
	script := shared(t, "conformance", "gen_cib.py")
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("skipped: python3 is not installed")
	}
	out, err := exec.Command(python, script, "--nodes", fmt.Sprint(nodes), "--resources", fmt.Sprint(resources),
		"--mix", "mixed", "--state", state).Output()
	if err != nil {
		t.Fatalf("gen_cib.py: %v", err)
	}
	return out
}

func BenchmarkRead(b *testing.B) {
	for _, size := range []struct{ nodes, resources int }{{3, 30}, {16, 300}, {100, 2000}} {
		b.Run(fmt.Sprintf("nodes=%d/resources=%d", size.nodes, size.resources), func(b *testing.B) {
			data := generated(b, size.nodes, size.resources, "steady")
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := Read(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// steady is a document in which every resource was probed on every node and runs on one.
func steady(nodes, resources int) *cib.Document {
	doc := &cib.Document{}
	const key = "0:0;4:1:7:00000000-0000-0000-0000-000000000001"
	for n := range nodes {
		name := fmt.Sprint("node", n)
		doc.Config.Nodes = append(doc.Config.Nodes, cib.Node{ID: fmt.Sprint(n), Name: name})
		state := cib.NodeState{ID: fmt.Sprint(n), Name: name, InCCM: "true", CRMD: "online", Join: "member", Expected: "member", HasHistory: true}
		for r := range resources {
			id := fmt.Sprint("r", r)
			op := cib.HistoryOp{ID: id + "_last_0", Key: id + "_monitor_0", Operation: "monitor", CallID: int64(r), RC: 7, TransitionMagic: key, TransitionKey: key[4:],
				OnNode: name, LastRCChange: 1700000000, LastRun: -1, ExecTime: 10, OpDigest: "f2317cad3d54cec5d7d7aa7d0bf35cf8", FeatureSet: "3.19.0"}
			state.History = append(state.History, cib.ResourceHistory{ID: id, Class: "ocf", Provider: "heartbeat", Type: "Dummy", Operations: []cib.HistoryOp{op}})
		}
		doc.Status.Nodes = append(doc.Status.Nodes, state)
	}
	for r := range resources {
		doc.Config.Resources = append(doc.Config.Resources, &cib.Resource{ID: fmt.Sprint("r", r), Class: "ocf", Provider: "heartbeat", Type: "Dummy"})
	}
	return doc
}

func BenchmarkReadOwn(b *testing.B) {
	for _, size := range []struct{ nodes, resources int }{{3, 30}, {32, 1000}, {100, 2000}} {
		b.Run(fmt.Sprintf("nodes=%d/resources=%d", size.nodes, size.resources), func(b *testing.B) {
			data := Write(steady(size.nodes, size.resources), Options{})
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := Read(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	data := generated(b, 16, 300, "steady")
	doc, _, err := Read(data)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		Write(doc, Options{})
	}
}
