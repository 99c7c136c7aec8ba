//! The URL of an endpoint: parsed once, judged on its host, kept in the form in which it is sent.
