"""The rules: the contract, the SQL models and the catalogue of measures. Knows neither pipelines nor pages."""
