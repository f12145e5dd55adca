package cibtoml_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quorate/quorate/crm/cib/cibtoml"
	"github.com/quorate/quorate/crm/cib/cibxml"
)

// TestSample_Verify exports the usual short form for Pacemaker 2.1 and has Debian's crm_verify accept it.
func TestSample_Verify(t *testing.T) {
	t.Parallel()
	verify, err := exec.LookPath("crm_verify")
	if err != nil {
		t.Skip("skipped: crm_verify is not installed")
	}
	data, err := os.ReadFile(filepath.Join("testdata", "sample.toml"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := cibtoml.Read(data, cibtoml.Options{})
	if err != nil {
		t.Fatal(err)
	}
	out, _, err := cibxml.Export(doc, cibxml.Release2)
	if err != nil {
		t.Fatal(err)
	}
	out.Head.HaveQuorum = "1" // what a live cluster sets; without it nothing may be done
	dir := t.TempDir()
	file := filepath.Join(dir, "cib.xml")
	text := cibxml.Write(out, cibxml.Options{Plain: true})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(verify, "--xml-file", file)
	cmd.Env = append(os.Environ(), "CIB_shadow_dir="+dir)
	// Warnings are about the state, which is empty: nodes that nobody has seen.
	message, err := cmd.CombinedOutput()
	if err != nil && !strings.Contains(string(message), "Warnings found during check") {
		t.Errorf("crm_verify: %v\n%s\n%s", err, message, text)
	}
}
