package identity

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"github.com/zitadel/oidc/v3/pkg/oidc"
)

//go:embed pages
var pageFiles embed.FS

// pages are the templates and the style sheet.
type pages struct {
	templates *template.Template
	style     []byte
}

func parsePages() (*pages, error) {
	t, err := template.ParseFS(pageFiles, "pages/*.html")
	if err != nil {
		return nil, err
	}
	style, err := pageFiles.ReadFile("pages/style.css")
	return &pages{t, style}, err
}

// page is one address of a pool that people see. do takes its form.
type page struct {
	name string // of the template, and of the title's text
	show func(*visit)
	do   func(*visit) // nil: there is no form
}

// pageAt is the page at a path.
func (s *Service) pageAt(path string) (page, bool) {
	switch path {
	case "/":
		return page{"account", s.showHome, nil}, true
	case "/style.css":
		return page{"style", s.showStyle, nil}, true
	case "/sign-in":
		return page{"signIn", s.showSignIn, s.signIn}, true
	case "/code":
		return page{"code", s.showSignIn, s.secondFactor}, true
	case "/sign-up":
		return page{"signUp", s.showSignUp, s.signUp}, true
	case "/reset":
		return page{"reset", s.showReset, s.reset}, true
	case "/sign-out":
		return page{"signOut", s.showSignOut, s.signOut}, true
	case "/signed-out":
		return page{"signedOut", func(v *visit) { v.render("signedOut", http.StatusOK) }, nil}, true
	case "/account":
		return page{"account", s.showAccount, s.changeAccount}, true
	}
	return page{}, false
}

// visit is one request of a person.
type visit struct {
	s    *Service
	w    http.ResponseWriter
	r    *http.Request
	pool Pool
	lang string
	view view
}

// view is what templates are given.
type view struct {
	T       map[string]string // texts in the visitor's language
	Lang    string
	Pool    string
	Base    string // path of the pool
	Form    string // token of the form
	Request string // id of the sign-in under way, or ""
	Query   string // that, and the language, for links
	Client  string // name of the app that asks
	Open    bool   // anybody may sign up
	Error   string // what went wrong, in words
	Note    string
	Email   string
	Name    string
	Ticket  string // of a sign-in that waits for its second factor
	Next    string // where a sign-out leads
	State   string
	User    *User
	Second  bool         // the user has a second factor
	Secret  string       // of a new second factor, as people type it
	URI     template.URL // of a new second factor, for an app
	Sealed  string       // the new second factor while it is not confirmed
}

func (s *Service) servePage(w http.ResponseWriter, r *http.Request, pool Pool, p page) {
	v := &visit{s: s, w: w, r: r, pool: pool, lang: languageOf(r)}
	v.view = view{T: texts(v.lang), Lang: v.lang, Pool: pool.Name, Base: pool.path(), Open: !pool.Closed}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		v.asked(r.URL.Query().Get("request"))
		p.show(v)
	case http.MethodPost:
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		if p.do == nil {
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		if err := r.ParseForm(); err != nil || !s.ours(r, pool.ID) {
			s.refuse(w, r, pool, http.StatusForbidden, "staleForm")
			return
		}
		if !s.limits.admit(addressOf(r)) {
			w.Header().Set("Retry-After", "30")
			s.refuse(w, r, pool, http.StatusTooManyRequests, "tooMany")
			return
		}
		v.asked(r.PostFormValue("request"))
		p.do(v)
	default:
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	}
}

// asked finds the sign-in under way that a page belongs to; a page may have none.
func (v *visit) asked(id string) (request, bool) {
	asked, ok := v.s.pending.requests.get(id)
	if !ok || asked.pool != v.pool.ID {
		v.links()
		return request{}, false
	}
	v.view.Request = id
	if c, err := v.s.client(v.pool, asked.asked.ClientID); err == nil {
		v.view.Client = c.Name
	}
	v.links()
	return asked, true
}

// links makes the query of links between the pages.
func (v *visit) links() {
	query := url.Values{}
	if v.view.Request != "" {
		query.Set("request", v.view.Request)
	}
	if chosen := v.r.URL.Query().Get("lang"); chosen != "" {
		query.Set("lang", v.lang)
	}
	if len(query) > 0 {
		v.view.Query = "?" + query.Encode()
	}
}

// render answers a page. A form may lead to the origin of the app that asked, because browsers hold redirects to that too.
func (v *visit) render(name string, status int) {
	v.view.Form = v.s.formToken(v.s.browser(v.w, v.r), v.pool.ID)
	var out bytes.Buffer
	if err := v.s.pages.templates.ExecuteTemplate(&out, name+".html", v.view); err != nil {
		v.s.Logger.Error("cannot write a page", "page", name, "error", err)
		http.Error(v.w, "internal error", http.StatusInternalServerError)
		return
	}
	h := v.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", v.lang)
	h.Set("Content-Security-Policy", contentPolicy(v.leadsTo()))
	v.w.WriteHeader(status)
	_, _ = v.w.Write(out.Bytes()) // who left can't be helped
}

// leadsTo is the origin of the app a form of this page ends at.
func (v *visit) leadsTo() string {
	target := v.view.Next
	if asked, ok := v.s.pending.requests.get(v.view.Request); ok {
		target = asked.asked.RedirectURI
	}
	u, err := url.Parse(target)
	if err != nil || u.Host == "" || strings.ContainsAny(u.Host, " ;,'\"") {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// again shows a page once more with what went wrong.
func (v *visit) again(name string, status int, word string) {
	v.view.Error = v.view.T[word]
	v.render(name, status)
}

// refuse answers a page that only says what is wrong.
func (s *Service) refuse(w http.ResponseWriter, r *http.Request, pool Pool, status int, word string) {
	v := &visit{s: s, w: w, r: r, pool: pool, lang: languageOf(r)}
	v.view = view{T: texts(v.lang), Lang: v.lang, Pool: pool.Name, Base: pool.path()}
	v.again("problem", status, word)
}

func (s *Service) noPool(w http.ResponseWriter, r *http.Request) {
	s.refuse(w, r, Pool{Name: "nuage"}, http.StatusNotFound, "noPool")
}

func (s *Service) showStyle(v *visit) {
	v.w.Header().Set("Content-Type", "text/css; charset=utf-8")
	v.w.Header().Set("Cache-Control", "max-age=3600")
	_, _ = v.w.Write(s.pages.style)
}

func (s *Service) showHome(v *visit) {
	http.Redirect(v.w, v.r, v.view.Base+"/account", http.StatusSeeOther)
}

// fail answers for what is nobody's fault but ours, or for too much at once.
func (v *visit) fail(page string, err error) {
	if isBusy(err) {
		v.again(page, http.StatusServiceUnavailable, "busy")
		return
	}
	v.s.Logger.Error("managed auth failed", "pool", v.pool.Name, "path", v.r.URL.Path, "error", err)
	v.again(page, http.StatusInternalServerError, "internal")
}

// silent answers a client that wants no page shown to the user.
func (v *visit) silent(asked request) {
	u, err := url.Parse(asked.asked.RedirectURI)
	if err != nil {
		v.s.refuse(v.w, v.r, v.pool, http.StatusBadRequest, "stale")
		return
	}
	query := u.Query()
	query.Set("error", string(oidc.LoginRequired))
	if asked.asked.State != "" {
		query.Set("state", asked.asked.State)
	}
	u.RawQuery = query.Encode()
	v.s.pending.requests.take(asked.id)
	http.Redirect(v.w, v.r, u.String(), http.StatusFound)
}
