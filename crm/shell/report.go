package shell

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibcrm"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/version"
)

const reportReadme = `This is a report of a Quorate cluster, made on node %s at %s.

The configuration and the history are the same on every node. The log and what the node sees of the others are this
node's: run "crm report" on the other nodes too where these matter. Parameters whose names say that they are secret are
written as ******; look through the files before you give them away all the same.
`

// cmdReport packs what is known of the cluster into one file.
func (s *Shell) cmdReport(c *call) error {
	saved := s.window
	defer func() { s.window = saved }()
	name := ""
	for i := 0; i < len(c.args); i++ {
		a := c.args[i]
		switch {
		case a == "-f" || a == "-t":
			if i++; i >= len(c.args) {
				return c.usage("%s needs a time", a)
			}
			t, err := parseTime(c.args[i], time.Now())
			if err != nil {
				return err
			}
			if a == "-f" {
				s.window.from = t
			} else {
				s.window.to = t
			}
		case strings.HasPrefix(a, "-"):
			return c.usage("%q is not known", a)
		case name == "":
			name = a
		default:
			return c.usage("%q is too much", a)
		}
	}
	if name == "" {
		name = "crm-report-" + time.Now().Format("2006-01-02-150405")
	}
	folder := filepath.Base(strings.TrimSuffix(name, ".tar.gz"))
	name = strings.TrimSuffix(name, ".tar.gz") + ".tar.gz"
	files, err := s.reportFiles(c)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = writeArchive(f, folder, files)
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		os.Remove(name)
		return fmt.Errorf("write %s: %w", name, err)
	}
	s.info("the report is in %s", name)
	return nil
}

type reportFile struct {
	name string
	data []byte
}

func (s *Shell) reportFiles(c *call) ([]reportFile, error) {
	snap, err := s.load(c.ctx)
	if err != nil {
		return nil, err
	}
	node := s.connect().Name(c.ctx)
	doc := obscuredDocument(snap.Doc)
	files := []reportFile{
		{"README", fmt.Appendf(nil, reportReadme, node, time.Now().Format(time.RFC3339))},
		{"version", []byte("Quorate " + version.Version + "\n")},
		{"cib.xml", cibxml.Write(doc, cibxml.Options{})},
		{"configuration.crm", []byte(cibcrm.Print(&doc.Config, cibcrm.PrintOptions{Obscure: obscured}))},
	}
	if cl, err := s.live(); err == nil {
		if l, err := cl.Local(c.ctx); err == nil {
			if data, err := json.MarshalIndent(l, "", "  "); err == nil {
				files = append(files, reportFile{"local.json", append(data, '\n')})
			}
		}
	}
	type command struct {
		name string
		run  func(*Shell, *call) error
		args []string
	}
	list := []command{{"status", (*Shell).cmdStatus, []string{"full"}}, {"verify", (*Shell).cmdVerify, nil}, {"events", (*Shell).cmdHistoryNode, nil}}
	if snap.State != nil {
		list = append(list, command{"health", (*Shell).cmdHealth, nil}, command{"revisions", (*Shell).cmdRevisions, []string{"200"}},
			command{"fencing", (*Shell).cmdFencingHistory, nil}, command{"decisions", (*Shell).cmdDecisions, []string{"500"}})
	}
	for _, x := range list {
		files = append(files, reportFile{x.name, s.captured(c, x.run, x.args)})
	}
	if log, err := journal(c.ctx, s.window.from, s.window.to); err == nil {
		files = append(files, reportFile{"log", log})
	} else {
		files = append(files, reportFile{"log", []byte("no log: " + err.Error() + "\n")})
	}
	return files, nil
}

// captured runs a command and returns what it prints, its error included.
func (s *Shell) captured(c *call, run func(*Shell, *call) error, args []string) []byte {
	var buf bytes.Buffer
	out, errs := s.out, s.err
	s.out, s.err = &buf, &buf
	defer func() { s.out, s.err = out, errs }()
	if err := run(s, &call{ctx: c.ctx, cmd: &row{name: "report"}, args: args}); err != nil {
		s.fail(err)
	}
	return buf.Bytes()
}

// obscuredDocument returns a copy without values whose names say that they are secret.
func obscuredDocument(doc *cib.Document) *cib.Document {
	out := doc.Clone()
	hide := func(sets []cib.AttributeSet) {
		for i := range sets {
			for j := range sets[i].Pairs {
				p := &sets[i].Pairs[j]
				if cib.SecretName(p.Name) && !cib.IsReference(p.Value) && p.Value != "" {
					p.Value = "******"
				}
			}
		}
	}
	cib.EachResource(&out.Config, func(r, _ *cib.Resource) {
		hide(r.Params)
		for i := range r.Operations.List {
			hide(r.Operations.List[i].Params)
		}
	})
	for i := range out.Config.Alerts {
		hide(out.Config.Alerts[i].Params)
	}
	return out
}

func writeArchive(w io.Writer, folder string, files []reportFile) error {
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	for _, f := range files {
		if err := t.WriteHeader(&tar.Header{Name: folder + "/" + f.name, Mode: 0o600, Size: int64(len(f.data)), ModTime: time.Now()}); err != nil {
			return err
		}
		if _, err := t.Write(f.data); err != nil {
			return err
		}
	}
	if err := t.Close(); err != nil {
		return err
	}
	return z.Close()
}
