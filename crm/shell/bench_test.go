package shell

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibtoml"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/verify"
)

// largeTOML is a cluster of the size that the speed is promised for: primitives, a third each of locations, colocations
// and optional orders.
func largeTOML(nodes, resources, constraints int) string {
	var b strings.Builder
	b.WriteString("[cluster]\nname = \"big\"\nfencing-enabled = false\n")
	for i := range nodes {
		fmt.Fprintf(&b, "[nodes.node%d]\nlinks = { lan = \"10.0.0.%d\" }\n", i, i+1)
	}
	for i := range resources {
		fmt.Fprintf(&b, "[primitives.r%d]\nagent = \"ocf:heartbeat:IPaddr2\"\nparams = { ip = \"10.1.%d.%d\", cidr_netmask = 24 }\nop.monitor = { interval = \"10s\", timeout = \"20s\" }\n", i, i/250, i%250)
	}
	for i := range constraints {
		switch i % 3 {
		case 0:
			fmt.Fprintf(&b, "[[locations]]\nid = \"l%d\"\nresource = \"r%d\"\nnode = \"node%d\"\nscore = 50\n", i, i%resources, i%nodes)
		case 1:
			fmt.Fprintf(&b, "[[colocations]]\nid = \"c%d\"\nresource = \"r%d\"\nwith = \"r%d\"\nscore = 10\n", i, i%resources, (i+1)%resources)
		default:
			fmt.Fprintf(&b, "[[orders]]\nid = \"o%d\"\nfirst = \"r%d\"\nthen = \"r%d\"\nkind = \"Optional\"\n", i, i%resources, (i+1)%resources)
		}
	}
	return b.String()
}

// processorTime returns what this process has used.
func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkLarge measures in processor time what a person waits for: a file that is read and checked, the
// plan of one changed object, and the tab key.
func BenchmarkLarge(b *testing.B) {
	const nodes, resources, constraints = 16, 5000, 10000
	dir := b.TempDir()
	text := largeTOML(nodes, resources, constraints)
	doc, err := cibtoml.Read([]byte(text), cibtoml.Options{})
	if err != nil {
		b.Fatal(err)
	}
	file, site := filepath.Join(dir, "cib.xml"), filepath.Join(dir, "site.toml")
	changed := strings.Replace(text, `interval = "10s"`, `interval = "15s"`, 1)
	for name, data := range map[string][]byte{file: cibxml.Write(doc, cibxml.Options{}), site: []byte(changed)} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	env := map[string]string{"CIB_file": file, "OCF_ROOT": filepath.Join(dir, "ocf")}
	getenv := func(name string) string { return env[name] }
	size := fmt.Sprintf("nodes=%d/resources=%d/constraints=%d", nodes, resources, constraints)
	b.Run("read/"+size, func(b *testing.B) {
		before := processorTime()
		for b.Loop() {
			doc, err := cibtoml.Read([]byte(text), cibtoml.Options{})
			if err != nil {
				b.Fatal(err)
			}
			if p := verify.Problems(verify.Input{After: doc}); cib.HasErrors(p) {
				b.Fatal(p)
			}
		}
		b.ReportMetric(float64((processorTime()-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
	})
	b.Run("plan/"+size, func(b *testing.B) {
		before := processorTime()
		for b.Loop() {
			var out, errs bytes.Buffer
			if code := Run(context.Background(), Config{In: strings.NewReader(""), Out: &out, Err: &errs, Getenv: getenv}, []string{"plan", site}); code != 0 {
				b.Fatalf("plan: exit %d, %s", code, &errs)
			}
			if !strings.Contains(out.String(), "primitive r0: op monitor") {
				b.Fatalf("plan: %.300s", out.String())
			}
		}
		b.ReportMetric(float64((processorTime()-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
	})
	for _, line := range []string{"delete r49", "location l r49", "colocation c inf: r1 r2"} {
		b.Run("complete="+strings.Fields(line)[0]+"/"+size, func(b *testing.B) {
			s := &Shell{cfg: Config{Getenv: getenv}, levels: []*level{root(), configureLevel()}}
			if _, err := s.open(b.Context()); err != nil {
				b.Fatal(err)
			}
			before := processorTime()
			for b.Loop() {
				if _, list, _ := s.complete(b.Context(), line, len(line)); len(list) == 0 {
					b.Fatalf("%q offers nothing", line)
				}
			}
			b.ReportMetric(float64((processorTime()-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
	}
}
