package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLoadConfig(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		mode       os.FileMode
		wantErr    string // part of the message; "" = none
	}{
		{"empty", "", 0o600, ""},
		{"all", "user = \"q\"\nagent-dirs = [\"/a\"]\nlog-level = \"debug\"\n[bind]\nlan = \"10.0.0.1\"\n", 0o644, ""},
		{"unknown key", "user = \"q\"\nagent-dir = [\"/a\"]\n", 0o600, `:2: unknown setting "agent-dir"; did you mean "agent-dirs"?`},
		{"wrong type", "agent-dirs = 3\n", 0o600, "agent-dirs"},
		{"syntax", "user = \n", 0o600, ":1:"},
		{"relative", "agent-dirs = [\"a\"]\n", 0o600, `"a" must be an absolute path`},
		{"level", "log-level = \"loud\"\n", 0o600, "must be error, warn, info, debug or trace"},
		{"writable by others", "", 0o666, "use chmod go-w"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			name := filepath.Join(t.TempDir(), "quorated.toml")
			if err := os.WriteFile(name, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(name, c.mode); err != nil {
				t.Fatal(err)
			}
			_, err := LoadConfig(name)
			switch {
			case c.wantErr == "" && err != nil:
				t.Fatalf("LoadConfig() = %v, want no error", err)
			case c.wantErr != "" && (err == nil || !strings.Contains(err.Error(), c.wantErr)):
				t.Fatalf("LoadConfig() = %v, want an error with %q", err, c.wantErr)
			}
		})
	}
}

func TestLoadConfig_Missing(t *testing.T) {
	t.Parallel()
	c, err := LoadConfig(filepath.Join(t.TempDir(), "none.toml"))
	if err != nil || c.LogLevel != "info" || c.ToolDir != "/usr/sbin" {
		t.Fatalf("LoadConfig(missing) = %+v, %v; want the defaults", c, err)
	}
}
