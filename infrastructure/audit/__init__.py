"""Questions of auditors: who decided what, what attempts cost, and any question in SQL, now or at a moment."""
