"""Circuits from Qiskit and back. Needs the extra ``qiskit``; scoring never comes here."""
