package status_test

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/unpack"
	"github.com/quorate/quorate/crm/status"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// TestGolden renders two clusters in every form that administrators ask for. testdata/views.txt has the name of a form
// and after a line of dashes what it looks like.
func TestGolden(t *testing.T) {
	t.Parallel()
	events := []status.FencingEvent{
		{Target: "n4", Action: "reboot", State: status.FencingDone, By: "n1", Client: "cluster", Origin: "n2", Completed: time.Unix(99000, 0)},
		{Target: "n10", Action: "off", State: status.FencingFailed, Client: "root", Origin: "n1", Detail: "no device", Completed: time.Unix(99500, 0)},
		{Target: "n3", Action: "reboot", State: status.FencingPending, Client: "cluster", Origin: "n1"},
	}
	everything := status.Options{Pending: true, Attributes: true, Operations: true, Timing: true, Failures: true, Tickets: true, Bans: true, Fencing: events, FencingAll: true}
	views := []struct {
		name, file string
		o          status.Options
		render     func(*model.Cluster, status.Options) string
	}{
		{"active", "kinds", status.Options{Pending: true, ActiveOnly: true, Failures: true, Sentences: true}, status.Text},
		{"by node", "kinds", status.Options{Pending: true, ByNode: true, ActiveOnly: true}, status.Text},
		{"by node, inactive too", "kinds", status.Options{Pending: true, ByNode: true}, status.Text},
		{"by node, brief", "kinds", status.Options{Pending: true, ByNode: true, Brief: true, ActiveOnly: true}, status.Text},
		{"brief", "kinds", status.Options{Pending: true, Brief: true}, status.Text},
		{"detail", "kinds", status.Options{Pending: true, Detail: true}, status.Text},
		{"one node and one resource", "kinds", status.Options{Pending: true, Only: status.Filter{Nodes: map[string]bool{"n1": true}, Resources: map[string]bool{"grp": true}}}, status.Text},
		{"summary", "more", status.Options{}, status.Summary},
		{"everything", "more", everything, status.Text},
		{"fencing that needs somebody", "more", status.Options{Fencing: events}, status.Text},
		{"summary as XML", "more", status.Options{}, func(c *model.Cluster, _ status.Options) string { return status.SummaryXML(c, 1) }},
		{"everything as XML", "more", everything, status.XML},
		{"by node as XML", "more", status.Options{ByNode: true}, status.XML},
	}
	var b strings.Builder
	for _, v := range views {
		b.WriteString(v.name + " of " + v.file + "\n----\n" + v.render(full(t, "testdata/"+v.file+".xml"), v.o) + "\n")
	}
	const golden = "testdata/views.txt"
	if *rewrite {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.String(); got != string(want) {
		g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
		for i := range g {
			if i >= len(w) || g[i] != w[i] {
				t.Fatalf("line %d is\n%s\nwant\n%s", i+1, g[i], w[min(i, len(w)-1)])
			}
		}
		t.Fatal("lines are missing at the end")
	}
}

// full reads a document with its constraints and tickets.
func full(t *testing.T, name string) *model.Cluster {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	doc, _, err := cibxml.Read(data)
	if err != nil {
		t.Fatal(err)
	}
	doc, _ = cib.Upgrade(doc)
	quorate := cib.IsTrue(doc.Head.HaveQuorum)
	c, err := unpack.Unpack(doc, unpack.Options{Now: time.Unix(100000, 0).UTC(), Quorate: &quorate})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
