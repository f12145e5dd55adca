package shell

import (
	"archive/tar"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/crm/cib"
)

func TestParseTime(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 12, 30, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"9:15": "2026-03-04T09:15:00Z", "3pm": "2026-03-04T15:00:00Z", "2h": "2026-03-04T10:30:00Z", "-90m": "2026-03-04T11:00:00Z",
		"2025-12-31 23:59": "2025-12-31T23:59:00Z", "2025/12/31 23:59": "2025-12-31T23:59:00Z", "Jan 31 15:04": "2026-01-31T15:04:00Z", "Feb 2": "2026-02-02T00:00:00Z",
		"2026-01-01T00:00:00+02:00": "2026-01-01T00:00:00+02:00", "yesterday": "", "25:00": "",
	} {
		got, err := parseTime(text, now)
		if (err == nil) != (want != "") || err == nil && got.Format(time.RFC3339) != want {
			t.Errorf("parseTime(%q) = %v, %v; want %s", text, got.Format(time.RFC3339), err, want)
		}
	}
}

func TestHistory(t *testing.T) {
	t.Parallel()
	c := newCluster(t).online()
	c.must("configure", "primitive", "web", "ocf:test:Dummy", "params", "password=hunter2")
	session := func(lines ...string) string {
		t.Helper()
		code, out, err := c.typed(t.TempDir(), lines...)
		if code != 0 {
			t.Fatalf("%q: %s", lines, err)
		}
		return out
	}
	for _, test := range []struct{ lines, want, not string }{
		{"history info", "Nodes: n1", ""}, {"history events", "configuration changed by uid:", ""}, {"history node n1", "node n1 became a member", "configuration"},
		{"history log n1", "became a member", ""}, {"history latest", "resource web", "became a member"}, {"history resource web", "", "became"},
		{"history\nexclude member\nevents", "resource web", "became a member"}, {"history\nexclude member\nexclude clear\nevents", "became a member", ""},
		{"history\nlimit 2020-01-01 2020-01-02\nevents", "", "web"}, {"history\nlimit 2020-01-01 2020-01-02\nlimit clear\nevents", "web", ""},
		{"history show", "primitive web", "hunter2"}, {"history diff", "+ primitive web", ""},
	} {
		got := session(strings.Split(test.lines, "\n")...)
		if !strings.Contains(got, test.want) || test.not != "" && strings.Contains(got, test.not) {
			t.Errorf("%q: want %q and not %q in\n%s", test.lines, test.want, test.not, got)
		}
	}
	for _, test := range []struct{ line, want string }{
		{"history limit yesterday", "is no time"}, {"history limit 15:00 14:00", "is not after"}, {"history exclude (", "missing closing"},
		{"history node n9", "node n9 is not in the cluster"}, {"history resource nosuch", "resource not found"}, {"history events 0", "is no number"},
		{"history session save x", "crm report"}, {"history show 99", "no revision 99"}, {"report -f never", "is no time"}, {"report -x", "not known"},
	} {
		c.refused(test.want, strings.Fields(test.line)...)
	}
}

// TestReport unpacks a report: it has what a reader needs, and no secret.
func TestReport(t *testing.T) {
	t.Parallel()
	c := newCluster(t).online()
	c.must("configure", "primitive", "web", "ocf:test:Dummy", "params", "password=hunter2", "token=abc", "port=80")
	name := filepath.Join(t.TempDir(), "r")
	c.must("report", "-f", "2h", name)
	f, err := os.Open(name + ".tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if st, _ := f.Stat(); st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", st.Mode())
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		got[h.Name] = string(data)
		if strings.Contains(string(data), "hunter2") || strings.Contains(string(data), `"abc"`) {
			t.Errorf("%s has a secret", h.Name)
		}
	}
	for file, want := range map[string]string{"cib.xml": `value="80"`, "configuration.crm": "primitive web", "status": "n1", "revisions": "REVISION", "events": "configuration changed", "local.json": `"node": "n1"`, "README": "live/n1", "log": "", "health": ""} {
		if text, ok := got["r/"+file]; !ok || !strings.Contains(text, want) {
			t.Errorf("%s: %q is missing in\n%s", file, want, text)
		}
	}
	c.refused("exists", "report", name)
	doc := &cib.Document{}
	if out := obscuredDocument(doc); out == doc {
		t.Error("the document itself is changed")
	}
}
