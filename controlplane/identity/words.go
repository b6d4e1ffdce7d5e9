package identity

import (
	"net/http"

	"golang.org/x/text/language"
)

// languageOf is the language of the pages for a request: what ?lang= says, else what the browser prefers; en or fr.
func languageOf(r *http.Request) string {
	matcher := language.NewMatcher([]language.Tag{language.English, language.French})
	tag, _ := language.MatchStrings(matcher, r.URL.Query().Get("lang"), r.Header.Get("Accept-Language"))
	if base, _ := tag.Base(); base.String() == "fr" {
		return "fr"
	}
	return "en"
}

// texts are the words of the pages.
func texts(lang string) map[string]string {
	if lang == "fr" {
		return french()
	}
	return english()
}

func english() map[string]string {
	return map[string]string{
		"signIn": "Sign in", "signUp": "Create an account", "reset": "Choose a new password", "code": "One more step", "account": "Your account",
		"signOut": "Sign out", "signedOut": "You are signed out", "problem": "That did not work",
		"to": "to go on to", "email": "E-mail address", "password": "Password", "newPassword": "New password", "name": "Your name",
		"nameHint": "optional", "passwordHint": "10 characters or more; a sentence is good", "forgot": "Forgot your password?",
		"noAccount": "No account yet?", "haveAccount": "Have an account already?", "haveCode": "Back to sign in", "resetCode": "Reset code",
		"resetHint":  "Ask whoever runs this service for a reset code. Nothing is sent by mail.",
		"resetSet":   "Set the password",
		"otp":        "Code from your authenticator app",
		"otpHint":    "6 digits, new every 30 seconds",
		"goOn":       "Go on",
		"signedInAs": "Signed in as", "roles": "Roles", "none": "none",
		"second": "Second factor", "secondNow": "An authenticator app is asked for at each sign-in.", "secondNone": "Only your password is asked for.",
		"secondAdd": "Add an authenticator app", "secondType": "Type this key into your authenticator app, or open the link on your phone, then enter the code it shows.",
		"secondLink": "Open in the app", "secondEnable": "Switch on", "secondDisable": "Switch off",
		"secondOn": "The second factor is on.", "secondOff": "The second factor is off.",
		"signOutAsk": "This ends your session here, and in the apps you opened with it.", "signedOutText": "You can close this window.",
		"resetDone": "Your password is set. Sign in with it.",
		"wrong":     "The e-mail address or the password is wrong.", "wrongCode": "The code is wrong, or was used already.",
		"wrongReset": "The e-mail address or the code is wrong, or the code has expired.",
		"locked":     "Too many tries. Wait %d seconds, then try again.", "tooMany": "Too many requests from your address. Wait a little, then try again.",
		"badEmail": "That is no e-mail address, or the name is too long.", "taken": "There is an account with this address already. Sign in instead.",
		"passwordShort": "The password is too short: 10 characters or more.", "passwordLong": "The password is too long: 256 bytes at most.",
		"passwordEasy": "The password is too easy to guess.", "closed": "Here only the operator adds users.",
		"stale": "This sign-in has expired. Go back to the app and begin again.", "staleForm": "This page has expired. Go back, reload it and try again.",
		"busy": "Too many people are signing in at this moment. Try again in a few seconds.", "internal": "Something went wrong on our side. Try again.",
		"noPool": "There is no user pool at this address.", "other": "Français", "otherLang": "fr",
	}
}

func french() map[string]string {
	return map[string]string{
		"signIn": "Se connecter", "signUp": "Créer un compte", "reset": "Choisir un nouveau mot de passe", "code": "Encore une étape", "account": "Votre compte",
		"signOut": "Se déconnecter", "signedOut": "Vous êtes déconnecté", "problem": "Cela n’a pas marché",
		"to": "pour continuer vers", "email": "Adresse e-mail", "password": "Mot de passe", "newPassword": "Nouveau mot de passe", "name": "Votre nom",
		"nameHint": "facultatif", "passwordHint": "10 caractères ou plus ; une phrase convient bien", "forgot": "Mot de passe oublié ?",
		"noAccount": "Pas encore de compte ?", "haveAccount": "Vous avez déjà un compte ?", "haveCode": "Retour à la connexion", "resetCode": "Code de réinitialisation",
		"resetHint":  "Demandez un code à la personne qui gère ce service. Rien n’est envoyé par e-mail.",
		"resetSet":   "Enregistrer le mot de passe",
		"otp":        "Code de votre application d’authentification",
		"otpHint":    "6 chiffres, renouvelés toutes les 30 secondes",
		"goOn":       "Continuer",
		"signedInAs": "Connecté en tant que", "roles": "Rôles", "none": "aucun",
		"second": "Second facteur", "secondNow": "Une application d’authentification est demandée à chaque connexion.", "secondNone": "Seul votre mot de passe est demandé.",
		"secondAdd": "Ajouter une application d’authentification", "secondType": "Saisissez cette clé dans votre application d’authentification, ou ouvrez le lien sur votre téléphone, puis entrez le code affiché.",
		"secondLink": "Ouvrir dans l’application", "secondEnable": "Activer", "secondDisable": "Désactiver",
		"secondOn": "Le second facteur est actif.", "secondOff": "Le second facteur est désactivé.",
		"signOutAsk": "Votre session se termine ici, ainsi que dans les applications ouvertes avec elle.", "signedOutText": "Vous pouvez fermer cette fenêtre.",
		"resetDone": "Votre mot de passe est enregistré. Connectez-vous avec lui.",
		"wrong":     "L’adresse e-mail ou le mot de passe est incorrect.", "wrongCode": "Le code est incorrect ou a déjà servi.",
		"wrongReset": "L’adresse e-mail ou le code est incorrect, ou le code a expiré.",
		"locked":     "Trop d’essais. Attendez %d secondes, puis réessayez.", "tooMany": "Trop de requêtes depuis votre adresse. Attendez un peu, puis réessayez.",
		"badEmail": "Ce n’est pas une adresse e-mail, ou le nom est trop long.", "taken": "Un compte existe déjà avec cette adresse. Connectez-vous.",
		"passwordShort": "Le mot de passe est trop court : 10 caractères ou plus.", "passwordLong": "Le mot de passe est trop long : 256 octets au plus.",
		"passwordEasy": "Le mot de passe est trop facile à deviner.", "closed": "Ici, seul l’opérateur ajoute des utilisateurs.",
		"stale": "Cette connexion a expiré. Revenez à l’application et recommencez.", "staleForm": "Cette page a expiré. Revenez en arrière, rechargez-la et réessayez.",
		"busy": "Trop de connexions en ce moment. Réessayez dans quelques secondes.", "internal": "Un problème est survenu de notre côté. Réessayez.",
		"noPool": "Il n’y a pas d’annuaire d’utilisateurs à cette adresse.", "other": "English", "otherLang": "en",
	}
}
