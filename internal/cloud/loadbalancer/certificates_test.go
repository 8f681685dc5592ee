package loadbalancer

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func certificateJSON(name, certificate, key string) string {
	return fmt.Sprintf(`{"name":%q,"certificate":%q,"private_key":%q}`, name, certificate, key)
}

func TestAPICertificates(t *testing.T) {
	a := newAPI(t)
	certificate, key := SelfSigned(t, "one.example")
	other, otherKey := SelfSigned(t, "two.example")
	body := strings.Replace(validBody, `"protocol":"tcp","port":80}],`, `"protocol":"tls","port":80,"tls_certificate_name":"cert"}],"tls_certificates":[`+
		certificateJSON("cert", certificate, key)+`],`, 1)
	lb := a.id("POST", "", body)
	shown := a.part(lb, "tls_certificates", 0)
	id := shown["id"].(string)
	if shown["name"] != "cert" || shown["expiration_date"] == "" || len(shown) != 6 {
		t.Errorf("shown: %v; the key must not be", shown)
	}
	listener := a.part(lb, "listeners", 0)
	if listener["protocol"] != "tls" || listener["tls_certificate_id"] != id {
		t.Errorf("listener: %v", listener)
	}
	certificates := "/" + lb + "/tls-certificates"
	a.call("POST", certificates, certificateJSON("cert", other, otherKey), 409)
	second := a.id("POST", certificates, certificateJSON("second", other, otherKey))
	if page := a.call("GET", certificates+"?_limit=1&_sort=name:desc", "", 200); page["results"].([]any)[0].(object)["id"] != second {
		t.Errorf("page: %v", page)
	}
	a.call("GET", certificates+"/"+id, "", 200)
	a.call("PUT", certificates+"/"+id, certificateJSON("", other, otherKey), 200)
	a.call("DELETE", certificates+"/"+id, "null", 409) // the listener has it
	a.call("PUT", "/"+lb+"/listeners/"+listener["id"].(string), `{"tls_certificate_id":"`+second+`"}`, 200)
	a.call("DELETE", certificates+"/"+id, "null", 200)
	a.call("GET", certificates+"/"+id, "", 404)
	a.call("PUT", "/"+lb+"/listeners/"+listener["id"].(string), `{"tls_certificate_id":"`+id+`"}`, 422)

	backend := a.part(lb, "backends", 0)["id"].(string)
	more := "/" + lb + "/listeners?backend_id=" + backend
	a.call("POST", more, `{"name":"more","protocol":"tls","port":81}`, 422)
	a.call("POST", more, `{"name":"more","protocol":"tcp","port":81,"tls_certificate_id":"`+second+`"}`, 422)
	a.call("POST", more, `{"name":"more","protocol":"tls","port":81,"tls_certificate_id":"`+second+`"}`, 200)
	a.tenant = otherTenant
	for method, path := range map[string]string{"GET": certificates, "DELETE": certificates + "/" + second} {
		a.call(method, path, "", 404)
	}
}

func TestCertificatesAreChecked(t *testing.T) {
	certificate, key := SelfSigned(t, "one.example")
	other, otherKey := SelfSigned(t, "two.example")
	chain := func(parts ...string) string {
		text := ""
		for _, part := range parts {
			decoded, err := base64.StdEncoding.DecodeString(part)
			must(t, err)
			text += string(decoded)
		}
		return base64.StdEncoding.EncodeToString([]byte(text))
	}
	for name, c := range map[string]struct {
		certificate, key, says string
	}{
		"fine":                  {certificate, key, ""},
		"with an issuer":        {chain(certificate, other), key, ""},
		"key among them":        {chain(otherKey, certificate), key, ""}, // and is not kept
		"nothing":               {"", key, "certificate: Field required"},
		"no key":                {certificate, "", "private_key: Field required"},
		"no base64":             {"-----BEGIN", key, "base64 of PEM"},
		"no PEM":                {base64.StdEncoding.EncodeToString([]byte("hello")), key, "has 0"},
		"somebody else's key":   {certificate, otherKey, "its unencrypted"},
		"the issuer first":      {chain(other, certificate), key, "its unencrypted"},
		"two keys":              {certificate, chain(key, otherKey), "has 2"},
		"a certificate as key":  {certificate, certificate, "has 0"},
		"far too long":          {base64.StdEncoding.EncodeToString(make([]byte, maxPEM+1)), key, "at most"},
		"more issuers than any": {chain(certificate, other, other, other, other, other, other, other, other, other, other), key, "has 11"},
	} {
		got, err := certificateBody{Name: "x", Certificate: c.certificate, PrivateKey: c.key}.certificate()
		if c.says == "" && (err != nil || strings.Count(got.PEM, "PRIVATE KEY") != 2) || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A certificate that is not refused is one of which only the wanted blocks are kept.
func FuzzCertificate(f *testing.F) {
	certificate, key := SelfSigned(f, "one.example")
	f.Add(certificateJSON("x", certificate, key))
	f.Add(certificateJSON("x", "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==", key))
	f.Add(`{"name":"x","certificate":null}`)
	f.Fuzz(func(t *testing.T, text string) {
		var body certificateBody
		if json.Unmarshal([]byte(text), &body) != nil {
			return
		}
		if c, err := body.certificate(); err == nil && (strings.Count(c.PEM, "-----BEGIN") < 2 || strings.Contains(c.PEM, "\r")) {
			t.Errorf("kept %q", c.PEM)
		}
	})
}
