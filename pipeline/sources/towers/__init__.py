"""Eddy-covariance towers: FLUXNET2015, AmeriFlux and ICOS tables, monthly, daily, hourly and half-hourly.

Public modules: read.
Inner modules: ameriflux, annual_nee, daily_extremes, daily_record, fluxnet, gpp, half_hourly, months, tables, weather.
"""
