package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// person runs commands with a configuration of their own and no server.
type person struct {
	t   *testing.T
	env map[string]string
}

func newPerson(t *testing.T) *person {
	t.Helper()
	home := t.TempDir()
	return &person{t, map[string]string{"HOME": home, "MKE_DATA_DIR": filepath.Join(home, "no-region")}}
}

func (p *person) mgc(args string) outcome {
	var stdout, stderr bytes.Buffer
	a := newApp(Streams{In: strings.NewReader(""), Out: &stdout, Err: &stderr}, func(k string) string { return p.env[k] })
	code := a.main(p.t.Context(), strings.Fields(args))
	return outcome{stdout.String(), stderr.String(), code}
}

func (p *person) want(args string, code int, text string) {
	p.t.Helper()
	got := p.mgc(args)
	if got.code != code || !strings.Contains(got.stdout+got.stderr, text) || code == 0 && got.stderr != "" {
		p.t.Errorf("mgc %s: exit %d, want %d and %q:\n%s%s", args, got.code, code, text, got.stdout, got.stderr)
	}
}

func TestConfigCommands(t *testing.T) {
	p := newPerson(t)
	p.want("config list -o json --raw", 0, `{"results":[]}`)
	p.want("config get region", ExitNotFound, "region is not set")
	p.want("config set region br-ne1", 0, "")
	p.want("config set --key apiKey --value 0b6c2d3e-6a55", 0, "")
	p.want("config get region", 0, "value: br-ne1")
	p.want("config get apiKey", 0, "value: (secret)")
	p.want("config list", 0, "(secret)")
	p.want("config set region mars", ExitUsage, `"mars" is not one of ["br-se1"`)
	p.want("config set serverUrl nowhere", ExitUsage, "not an http(s) URL")
	p.want("config set caFile ca.pem", ExitUsage, "no whole path")
	p.want("config set colour red", ExitUsage, `there is no setting "colour"`)
	p.want("config set region", ExitUsage, "VALUE is missing")
	p.want("config get-schema", 0, "MGC_SERVERURL")
	p.want("config get-schema region -o json", 0, `"--region"`)
	p.want("config delete region", 0, "")
	p.want("config delete region", ExitNotFound, "not set")
	info, err := os.Stat(filepath.Join(p.env["HOME"], ".config", "mgc", configFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	p.env["HOME"] = ""
	p.want("config list", ExitGeneral, "set MGC_CONFIG_DIR or HOME")
}

func TestWorkspaceCommands(t *testing.T) {
	p := newPerson(t)
	p.want("workspace get", 0, "name: default")
	p.want("config set region br-ne1", 0, "")
	p.want("workspace create prod", 0, "")
	p.want("workspace create copy --copy default", 0, "")
	p.want("workspace create prod", ExitUsage, "already")
	p.want("workspace create default", ExitUsage, "always there")
	p.want("workspace create ../x", ExitUsage, "is no name of a workspace")
	p.want("workspace create other --copy nobody", ExitUsage, `there is no workspace "nobody"`)
	p.want("workspace set nobody", ExitUsage, "mgc workspace list")
	p.want("config list -o json --raw --workspace prod", 0, `{"results":[]}`)
	p.want("config get region --workspace copy", 0, "br-ne1")
	p.want("config list --workspace nobody", ExitUsage, "there is no workspace")
	p.want("workspace set prod", 0, "")
	p.want("workspace list", 0, "prod      *")
	p.want("config get region", ExitNotFound, "not set")
	p.env["MGC_WORKSPACE"] = "copy"
	p.want("config get region", 0, "br-ne1")
	p.want("workspace delete copy --no-confirm", ExitUsage, "in use")
	delete(p.env, "MGC_WORKSPACE")
	p.want("workspace delete copy", ExitUsage, "--no-confirm")
	p.want("workspace delete copy --no-confirm", 0, "")
	p.want("workspace delete copy --no-confirm", ExitUsage, "there is no workspace")
	p.want("workspace delete default --no-confirm", ExitUsage, "cannot be deleted")
	p.want("workspace list -o json --raw", 0, `{"results":[{"name":"default","current":false},{"name":"prod","current":true}]}`)
}

// TestOtherWorkspacesDoNotUseTheLocalRegion: who works in "prod" must not delete something here by mistake.
func TestOtherWorkspacesDoNotUseTheLocalRegion(t *testing.T) {
	p := newPerson(t)
	if err := WriteConfig(filepath.Join(p.env["MKE_DATA_DIR"], "mgc"), Config{ServerURL: "http://127.0.0.1:1/kubernetes", APIKey: "k"}); err != nil {
		t.Fatal(err)
	}
	p.want("kubernetes cluster list", ExitGeneral, "cannot reach http://127.0.0.1:1")
	p.want("workspace create prod", 0, "")
	p.want("kubernetes cluster list --workspace prod", ExitAuth, "nothing was sent")
}

func TestSecretsAreNotLogged(t *testing.T) {
	for _, body := range []string{`{"name":"k","api_key": "s3cret","scopes":[]}`, `{"private_key":"s3\"cret"}`, "client-key-data: s3cret\n", `{"user_data":"s3cret"}`} {
		if got := string(withoutSecrets([]byte(body))); strings.Contains(got, "cret\"") && strings.Contains(got, "s3") || !strings.Contains(got, "(secret)") {
			t.Errorf("%s is logged as %s", body, got)
		}
	}
}
